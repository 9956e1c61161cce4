-- 3070 Tenants cannot enter the private schema.
-- so: they can name functions and tables that trust their caller
select
  n.nspname as object,
  null as missing,
  format('%s for %s', x.privilege, r.rolname) as extra,
  format('revoke %s on schema %s from public, %I;', x.privilege, n.nspname, r.rolname) as fix
from pg_catalog.pg_namespace as n
cross join pg_catalog.pg_roles as r
cross join (values ('usage'), ('create')) as x (privilege)
where
  n.nspname = 'jobsdb'
  and r.rolname in ('anon', 'authenticated', 'service_role')
  and not r.rolsuper
  and (r.rolname, x.privilege) <> ('service_role', 'usage')
  and has_schema_privilege(r.oid, n.oid, x.privilege)
order by object, extra;
