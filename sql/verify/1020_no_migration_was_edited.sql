-- 1020 No migration was edited.
-- so: this database was made by other SQL than the package holds; nobody knows what differs
select
  l.file as object,
  'sha256 ' || left(f.fact ->> 1, 12) as missing,
  'sha256 ' || left(l.sha256, 12) as extra,
  format(
    'Put the file of release %s back, or restore the ledger of %s.', l.release, current_database()
  ) as fix
from (
  select distinct on (e.file)
    e.file,
    e.sha256,
    e.release
  from jobsdb.ledger as e
  where e.file like 'migrations/%'
  order by e.file asc, e.seq desc
) as l
inner join jsonb_array_elements($1 -> 'facts') as f (fact) on f.fact ->> 0 = l.file
where l.sha256 <> f.fact ->> 1
order by object;
