-- 6220 Autovacuum is on.
-- so: dead rows stay, claims and refreshes grow slow, and in the end the server refuses to write
select
  'bad' as state,
  format('%s is off on this server', s.name) as sentence,
  format('alter system set %s = on; select pg_reload_conf();', s.name) as remedy
from pg_settings as s
where s.name in ('autovacuum', 'track_counts') and s.reset_val = 'off'
order by s.name;
