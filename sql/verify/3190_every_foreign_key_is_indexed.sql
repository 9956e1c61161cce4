-- 3190 Every foreign key is indexed.
-- so: deleting a job reads the whole table that points to it
--
-- One leading column is enough: job_id alone finds a handful of rows. An adopted table gets its
-- indexes after the deployment, see 1050.
select
  format('%s.%s.%s', n.nspname, c.relname, k.conname) as object,
  format('an index that begins with %s', a.attname) as missing,
  null as extra,
  format('create index concurrently on %s.%s (%I);', n.nspname, c.relname, a.attname) as fix
from pg_catalog.pg_constraint as k
inner join pg_catalog.pg_class as c on k.conrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and a.attnum = k.conkey[1]
where
  k.contype = 'f'
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s', n.nspname, c.relname) !~ ($1 ->> 'adopted')
  and not exists (
    select from pg_catalog.pg_index as i
    where
      i.indrelid = k.conrelid
      and i.indisvalid
      and i.indkey[0] = k.conkey[1]
      and (
        i.indpred is null
        or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname)
      )
  )
order by object;
