-- Whether there is a jobsdb the caller can see, and whether he may name its private schema, where
-- events have numbers.
select
  to_regclass('public.recent_job_activity') is not null as is_installed,
  coalesce(
    (
      select has_schema_privilege(n.oid, 'usage')
      from pg_catalog.pg_namespace as n
      where n.nspname = 'jobsdb'
    ),
    false
  ) as sees_numbers;
