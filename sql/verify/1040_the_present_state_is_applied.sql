-- 1040 The present state is applied.
-- so: functions, triggers, policies, views or grants are those of another release
with l as (
  select distinct on (e.file)
    e.file,
    e.sha256
  from jobsdb.ledger as e
  order by e.file asc, e.seq desc
)

select
  f.fact ->> 0 as object,
  'sha256 ' || left(f.fact ->> 1, 12) as missing,
  'sha256 ' || left(l.sha256, 12) as extra,
  'jobsdb migrate' as fix
from jsonb_array_elements($1 -> 'facts') as f (fact)
left join l on l.file = f.fact ->> 0
where
  f.fact ->> 0 not like 'migrations/%'
  and l.sha256 is distinct from f.fact ->> 1
order by object;
