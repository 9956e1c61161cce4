-- 1010 Every migration is applied.
-- so: tables and columns that functions and agents count on are missing
select
  f.fact ->> 0 as object,
  'applied' as missing,
  null as extra,
  'jobsdb migrate' as fix
from jsonb_array_elements($1 -> 'facts') as f (fact)
where
  f.fact ->> 0 like 'migrations/%'
  and not exists (
    select from jobsdb.ledger as l
    where l.file = f.fact ->> 0
  )
order by object;
