-- 1030 No migration is unknown.
-- so: the database is newer than this jobsdb, whose other answers about it may be wrong
select
  l.file as object,
  null as missing,
  'applied by release ' || l.release as extra,
  format('Install jobsdb %s or newer and verify with it.', l.release) as fix
from jobsdb.ledger as l
where
  l.file like 'migrations/%'
  and not exists (
    select from jsonb_array_elements($1 -> 'facts') as f (fact)
    where f.fact ->> 0 = l.file
  )
order by object;
