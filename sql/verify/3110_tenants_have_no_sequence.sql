-- 3110 Tenants have no sequence.
-- so: setval() breaks the inserts of everybody, and last_value tells how much others do
select
  format('%s.%s', n.nspname, c.relname) as object,
  null as missing,
  format('%s for %s', string_agg(x.privilege, ', ' order by x.privilege), r.rolname) as extra,
  format('revoke all on sequence %s.%s from public, %I;', n.nspname, c.relname, r.rolname) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join pg_catalog.pg_roles as r
cross join (values ('usage'), ('select'), ('update')) as x (privilege)
where
  n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and r.rolname in ('anon', 'authenticated', 'service_role')
  and not r.rolsuper
  -- Only a sequence has sequence rights; asked in a case, so that it is asked of nothing else.
  and case
    when c.relkind = 'S' then has_sequence_privilege(r.oid, c.oid, x.privilege) else false
  end
group by n.nspname, c.relname, r.rolname
order by object, extra;
