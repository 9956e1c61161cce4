-- 3010 Tenants are ordinary roles.
-- so: row-level security does not apply to them, or an agent can pass for a person
with wanted (role_name) as (
  values ('anon'), ('authenticated'), ('service_role')
)

select
  w.role_name as object,
  'the role' as missing,
  null as extra,
  'jobsdb migrate --prerequisites' as fix
from wanted as w
where not exists (select from pg_catalog.pg_roles as r where r.rolname = w.role_name)
union all
select
  r.rolname as object,
  null as missing,
  p.power as extra,
  format('alter role %I no%s;', r.rolname, p.power) as fix
from pg_catalog.pg_roles as r
cross join
  lateral (
    values
    ('superuser', r.rolsuper),
    ('createrole', r.rolcreaterole),
    ('replication', r.rolreplication),
    ('bypassrls', r.rolbypassrls and r.rolname <> 'service_role')
  ) as p (power, is_held)
where
  r.rolname in (select w.role_name from wanted as w)
  and p.is_held
union all
select
  r.rolname as object,
  null as missing,
  format('member of %s', g.rolname) as extra,
  format('revoke %I from %I;', g.rolname, r.rolname) as fix
from pg_catalog.pg_roles as r
inner join pg_catalog.pg_roles as g
  on
    g.rolname in ('authenticated', 'service_role')
    or g.oid = (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'jobsdb')
where
  r.rolname in ('anon', 'authenticated')
  and r.oid <> g.oid
  and not r.rolsuper
  and pg_has_role(r.oid, g.oid, 'member')
order by object, extra;
