-- 6230 Transaction numbers are far from their end.
-- so: the server stops taking changes 2.1 thousand million transactions after the last freeze
--
-- Autovacuum freezes at 200 million. When it does not, something in 63xx holds it up.
select
  case when age(d.datfrozenxid) > 1000000000 then 'bad' else 'warn' end as state,
  format(
    'database %s has not been frozen for %s million transactions',
    d.datname, age(d.datfrozenxid) / 1000000
  ) as sentence,
  case when d.datname = current_database() then '' else format('In database %I: ', d.datname) end
  || 'vacuum (freeze);' as remedy
from pg_database as d
where age(d.datfrozenxid) > 500000000
order by age(d.datfrozenxid) desc;
