-- 3120 Every function pins search_path.
-- so: a caller's temporary table or type takes the place of ours, with the rights of the owner
--
-- pg_temp is searched first of all unless it is named, and it is named last.
select
  p.oid::regprocedure::text as object,
  'set search_path to pg_catalog, pg_temp' as missing,
  (
    select s.setting
    from unnest(p.proconfig) as s (setting)
    where s.setting like 'search\_path=%'
  ) as extra,
  format('alter function %s set search_path to pg_catalog, pg_temp;', p.oid::regprocedure) as fix
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
where
  n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, p.proname))
  and 'search_path=pg_catalog, pg_temp' <> all(coalesce(p.proconfig, '{}'))
order by object;
