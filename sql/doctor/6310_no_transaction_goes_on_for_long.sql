-- 6310 No transaction goes on for long.
-- so: no dead row that is younger can be removed, anywhere, and claims grow slow
select
  case when t.age > 12 * t.patience then 'bad' else 'warn' end as state,
  format(
    'pid %s (%s in %s) has held its snapshot for %s',
    t.pid, t.usename, t.datname, date_trunc('second', t.age)
  ) as sentence,
  format('select pg_cancel_backend(%s);', t.pid) as remedy
from (
  select
    a.*,
    clock_timestamp() - a.xact_start as age,
    ($1 ->> 'patience')::interval as patience
  from pg_stat_activity as a
  where a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
) as t
where t.age > t.patience and t.state not like 'idle in transaction%'
order by t.age desc
limit 20;
