-- 3180 Every index is valid.
-- so: it costs writes and serves no query; a unique one no longer forbids duplicates
select
  format('%s.%s.%s', n.nspname, c.relname, x.relname) as object,
  'valid' as missing,
  'invalid, left by a concurrent build that failed' as extra,
  format('reindex index concurrently %s.%s;', n.nspname, x.relname) as fix
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_class as c on i.indrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  not (i.indisvalid and i.indisready and i.indislive)
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s.%s', n.nspname, c.relname, x.relname) !~ ($1 ->> 'host')
order by object;
