-- 1010 Every migration is applied.
-- so: tables and columns that functions and agents count on are missing
--
-- migrate applies what is new, but nothing that is older than what the ledger has.
select
  f.fact ->> 0 as object,
  'applied' as missing,
  null as extra,
  coalesce(
    (
      select
        format(
          'If 2110 finds its tables, only its row is gone: select jobsdb.record_applied('
          || 'array[%L], array[%L], %L, ''migrate'');',
          f.fact ->> 0,
          f.fact ->> 1,
          l.release
        )
      from jobsdb.ledger as l
      where l.file like 'migrations/%' and l.file > f.fact ->> 0
      order by l.file
      limit 1
    ),
    'jobsdb migrate'
  ) as fix
from jsonb_array_elements($1 -> 'facts') as f (fact)
where
  f.fact ->> 0 like 'migrations/%'
  and not exists (
    select from jobsdb.ledger as l
    where l.file = f.fact ->> 0
  )
order by object;
