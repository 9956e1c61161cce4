-- 6320 No session idles in a transaction.
-- so: its locks and its snapshot stay until somebody ends it
select
  case when t.age > 12 * t.patience then 'bad' else 'warn' end as state,
  format(
    'pid %s (%s in %s) is %s, its transaction %s old',
    t.pid, t.usename, t.datname, t.state, date_trunc('second', t.age)
  ) as sentence,
  format('select pg_terminate_backend(%s);', t.pid) as remedy
from (
  select
    a.*,
    clock_timestamp() - a.xact_start as age,
    ($1 ->> 'patience')::interval as patience
  from pg_stat_activity as a
  where a.pid <> pg_backend_pid() and a.state like 'idle in transaction%'
) as t
where t.age > t.patience
order by t.age desc
limit 20;
