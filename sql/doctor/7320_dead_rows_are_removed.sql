-- 7320 Dead rows are removed.
-- so: claims and refreshes read them all; when vacuum does not help, see 63xx for who holds them
select
  'warn' as state,
  format(
    'table %s.%s has %s dead rows beside %s live ones; last vacuum: %s',
    s.schemaname, s.relname, s.n_dead_tup, s.n_live_tup,
    coalesce(
      to_char(
        greatest(s.last_vacuum, s.last_autovacuum) at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'
      ),
      'never'
    )
  ) as sentence,
  format('vacuum (analyze) %I.%I;', s.schemaname, s.relname) as remedy
from pg_stat_user_tables as s
where
  (
    s.schemaname = 'jobsdb'
    or (
      s.schemaname = 'public'
      and s.relname in ('jobs', 'job_tasks', 'kanban_cards', 'agent_runs')
    )
  )
  and s.n_dead_tup > 10000
  and s.n_dead_tup > s.n_live_tup
order by s.n_dead_tup desc;
