-- 3340 Tenants cannot create objects.
-- so: a function or table of theirs can take the place of one that some application calls by name
-- level: warning
select
  n.nspname as object,
  null as missing,
  format('create for %s', r.rolname) as extra,
  format('revoke create on schema %I from public, %I;', n.nspname, r.rolname) as fix
from pg_catalog.pg_namespace as n
cross join pg_catalog.pg_roles as r
where
  n.nspname in ('public', 'auth')
  and r.rolname in ('anon', 'authenticated')
  and not r.rolsuper
  and has_schema_privilege(r.oid, n.oid, 'create')
order by object, extra;
