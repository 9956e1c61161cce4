-- 3320 Host tables cannot be truncated by tenants.
-- so: one tenant empties the table of all, or has his own code run whenever another one writes
-- level: warning
select
  format('%s.%s', n.nspname, c.relname) as object,
  null as missing,
  format('%s for %s', string_agg(x.privilege, ', ' order by x.privilege), r.rolname) as extra,
  format('revoke truncate, trigger on %s.%s from public, %I;', n.nspname, c.relname, r.rolname)
    as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join pg_catalog.pg_roles as r
cross join (values ('truncate'), ('trigger')) as x (privilege)
where
  n.nspname = 'public'
  and c.relkind in ('r', 'p')
  and format('%s.%s', n.nspname, c.relname) ~ ($1 ->> 'adopted')
  and r.rolname in ('anon', 'authenticated')
  and not r.rolsuper
  and has_table_privilege(r.oid, c.oid, x.privilege)
group by n.nspname, c.relname, r.rolname
order by object, extra;
