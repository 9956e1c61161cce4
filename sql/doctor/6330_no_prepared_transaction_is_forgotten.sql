-- 6330 No prepared transaction is forgotten.
-- so: its locks and its snapshot stay, even over a restart
select
  'bad' as state,
  format(
    'prepared transaction %s of %s in %s is %s old',
    quote_literal(p.gid), p.owner, p.database, date_trunc('second', clock_timestamp() - p.prepared)
  ) as sentence,
  case when p.database = current_database() then '' else format('In database %I: ', p.database) end
  || format('rollback prepared %L;', p.gid) as remedy
from pg_prepared_xacts as p
where p.prepared < clock_timestamp() - ($1 ->> 'patience')::interval
order by p.prepared
limit 20;
