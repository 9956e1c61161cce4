-- 2230 Schema public is open.
-- so: every call of a tenant or agent ends with "permission denied for schema public"
--
-- A schema public that was dropped and made again, before a restore for example, is closed.
select
  n.nspname as object,
  format('usage for %s', r.rolname) as missing,
  null as extra,
  format('grant usage on schema %I to %I;', n.nspname, r.rolname) as fix
from pg_catalog.pg_namespace as n
cross join pg_catalog.pg_roles as r
where
  n.nspname = 'public'
  and r.rolname in ('authenticated', 'service_role')
  and not has_schema_privilege(r.oid, n.oid, 'usage')
order by object, missing;
