-- 3310 Host tables have row-level security.
-- so: tenants see the host's cards and runs of each other; jobsdb guards only the links
-- level: warning
select
  format('%s.%s', n.nspname, c.relname) as object,
  'row-level security' as missing,
  null as extra,
  format(
    'alter table %s.%s enable row level security; and policies for its users', n.nspname, c.relname
  ) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  n.nspname = 'public'
  and c.relkind in ('r', 'p')
  and not c.relrowsecurity
  and format('%s.%s', n.nspname, c.relname) ~ ($1 ->> 'adopted')
  and exists (
    select from pg_catalog.pg_roles as r
    where
      r.rolname in ('anon', 'authenticated')
      and has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
  )
order by object;
