-- 3160 Definer functions see every row.
-- so: they count and guard only what row-level security shows their owner: counters silently stay 0
select
  p.oid::regprocedure::text as object,
  format('right of its owner %s to pass the policies of %s', o.rolname, t.names) as missing,
  null as extra,
  format('alter function %s owner to %I;', p.oid::regprocedure, t.owner_name) as fix
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
inner join pg_catalog.pg_roles as o on p.proowner = o.oid
cross join
  lateral (
    select
      string_agg(format('%s.%s', m.nspname, c.relname), ', ' order by m.nspname, c.relname)
        as names,
      min(w.rolname) as owner_name
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as m on c.relnamespace = m.oid
    inner join pg_catalog.pg_roles as w on c.relowner = w.oid
    where
      c.relkind in ('r', 'p')
      and c.relrowsecurity
      and m.nspname in ('public', 'jobsdb')
      and (m.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', m.nspname, c.relname))
      and (c.relforcerowsecurity or not pg_has_role(o.oid, c.relowner, 'usage'))
  ) as t
where
  p.prosecdef
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, p.proname))
  and not (o.rolsuper or o.rolbypassrls)
  and t.names is not null
order by object;
