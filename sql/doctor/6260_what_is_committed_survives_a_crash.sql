-- 6260 What is committed survives a crash.
-- so: after a crash the note that an e-mail went out may be missing, and it goes out again
select
  case when s.name = 'synchronous_commit' then 'warn' else 'bad' end as state,
  format('%s is off', s.name) || case
    when s.name = 'synchronous_commit' then ': a crash forgets the last commits'
    else ': a crash can destroy the database'
  end as sentence,
  case
    when s.source = 'command line' then format('Start the server without -c %s=off.', s.name)
    when s.source in ('database', 'user', 'database user')
      then format(
        'alter role %I in database %I set %s = on;', session_user, current_database(), s.name
      )
    else format('alter system set %s = on; select pg_reload_conf();', s.name)
  end as remedy
from pg_settings as s
where s.name in ('fsync', 'full_page_writes', 'synchronous_commit') and s.reset_val = 'off'
order by s.name;
