-- 3050 Every view runs as its caller.
-- so: it reads with the rights of its owner, past row-level security, and shows all organisations
select
  format('%s.%s', n.nspname, c.relname) as object,
  'security_invoker = true' as missing,
  null as extra,
  format('alter view %s.%s set (security_invoker = true);', n.nspname, c.relname) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  c.relkind = 'v'
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and not exists (
    select from pg_options_to_table(c.reloptions) as o
    where o.option_name = 'security_invoker' and o.option_value::boolean
  )
order by object;
