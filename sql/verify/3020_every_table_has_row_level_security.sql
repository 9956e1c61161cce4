-- 3020 Every table has row-level security.
-- so: tenants see the rows of each other; forced on the owner, counters silently stay 0
select
  format('%s.%s', n.nspname, c.relname) as object,
  case when not c.relrowsecurity then 'row-level security' end as missing,
  case when c.relforcerowsecurity then 'forced on the owner' end as extra,
  format(
    'alter table %s.%s enable row level security, no force row level security;',
    n.nspname,
    c.relname
  ) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  c.relkind in ('r', 'p')
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s', n.nspname, c.relname) !~ ($1 ->> 'adopted')
  and (not c.relrowsecurity or c.relforcerowsecurity)
order by object;
