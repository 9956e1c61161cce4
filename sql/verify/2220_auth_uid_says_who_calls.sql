-- 2220 auth.uid() says who calls.
-- so: nobody has an organisation: tenants see no rows, and nothing can be approved
with uid as (
  select
    p.oid,
    p.pronamespace,
    format_type(p.prorettype, null) as result
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
  where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0
)

select
  'auth.uid()' as object,
  'returns uuid' as missing,
  'returns ' || u.result as extra,
  'jobsdb migrate --prerequisites makes it where it does not exist' as fix
from (values (1)) as one (row_number)
left join uid as u on true
where u.result is distinct from 'uuid'
union all
select
  'auth.uid()' as object,
  format('%s for %s', g.right_name, r.rolname) as missing,
  null as extra,
  format('grant %s to %I;', g.right_name, r.rolname) as fix
from uid as u
cross join pg_catalog.pg_roles as r
cross join
  lateral (
    values
    ('usage on schema auth', has_schema_privilege(r.oid, u.pronamespace, 'usage')),
    ('execute on function auth.uid()', has_function_privilege(r.oid, u.oid, 'execute'))
  ) as g (right_name, is_held)
where
  r.rolname in ('authenticated', 'service_role')
  and not g.is_held
order by object, missing;
