-- 7010 Tenants and agents may do their work.
-- so: they get "permission denied"
--
-- Only the doors. `jobsdb verify` checks every right.
with tables as (
  select c.oid as jobs
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where n.nspname = 'public' and c.relname = 'jobs'
),

doors (role_name, what, is_open, key) as (
  select
    r.rolname,
    'schema public',
    has_schema_privilege(r.oid, 'public', 'usage'),
    format('grant usage on schema public to %I;', r.rolname)
  from pg_roles as r
  where r.rolname in ('authenticated', 'service_role')
  union all
  select
    r.rolname,
    'table jobs',
    has_table_privilege(r.oid, t.jobs, 'select'),
    format('grant select on public.jobs to %I;', r.rolname)
  from pg_roles as r
  cross join tables as t
  where r.rolname in ('authenticated', 'service_role')
  union all
  select
    r.rolname,
    'auth.uid()',
    has_function_privilege(r.oid, p.oid, 'execute') and has_schema_privilege(r.oid, n.oid, 'usage'),
    format(
      'grant usage on schema auth to %1$I; grant execute on function auth.uid() to %1$I;', r.rolname
    )
  from pg_roles as r
  cross join pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid and n.nspname = 'auth'
  where
    r.rolname in ('authenticated', 'service_role')
    and p.proname = 'uid'
    and p.pronargs = 0
  union all
  select
    r.rolname,
    'schema jobsdb',
    has_schema_privilege(r.oid, n.oid, 'usage'),
    'grant usage on schema jobsdb to service_role;'
  from pg_roles as r
  inner join pg_namespace as n on n.nspname = 'jobsdb'
  where r.rolname = 'service_role'
  union all
  -- PostgREST logs in as authenticator and becomes the others.
  select
    g.rolname,
    format('role %s', r.rolname),
    pg_has_role(g.oid, r.oid, 'member'),
    format('grant %I to %I;', r.rolname, g.rolname)
  from pg_roles as g
  cross join pg_roles as r
  where g.rolname = 'authenticator' and r.rolname in ('anon', 'authenticated', 'service_role')
  union all
  select
    current_user,
    'anything of jobsdb',
    has_table_privilege(t.jobs, 'select'),
    format('grant service_role to %I;', current_user)
  from tables as t
)

select
  case when d.role_name = current_user then 'warn' else 'bad' end as state,
  format('permission denied: %s may not use %s', d.role_name, d.what) as sentence,
  d.key as remedy
from doors as d
where not d.is_open
order by d.role_name, d.what;
