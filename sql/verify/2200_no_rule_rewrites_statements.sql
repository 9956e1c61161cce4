-- 2200 No rule rewrites statements.
-- so: an insert or update of the contract may do something else, or nothing
select
  format('%s.%s.%s', n.nspname, c.relname, r.rulename) as object,
  null as missing,
  pg_get_ruledef(r.oid) as extra,
  format('drop rule %I on %s.%s;', r.rulename, n.nspname, c.relname) as fix
from pg_catalog.pg_rewrite as r
inner join pg_catalog.pg_class as c on r.ev_class = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  r.rulename <> '_RETURN'
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s.%s', n.nspname, c.relname, r.rulename) !~ ($1 ->> 'host')
order by object;
