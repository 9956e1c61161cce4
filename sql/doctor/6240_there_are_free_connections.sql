-- 6240 There are free connections.
-- so: the next worker or request is turned away ("too many clients already")
with used as (
  select
    sum(d.numbackends) as now_open,
    current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int as possible
  from pg_stat_database as d
)

select
  case when u.now_open >= u.possible then 'bad' else 'warn' end as state,
  format('%s of %s connections are in use', u.now_open, u.possible) as sentence,
  'Let applications connect through a pooler, or more of them: alter system set max_connections = '
  || u.possible * 2 || '; and restart the server.' as remedy
from used as u
where u.now_open >= 0.8 * u.possible;
