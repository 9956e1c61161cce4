-- 7310 No table of ours is left out by autovacuum.
-- so: its dead rows stay, and claims and refreshes grow slow
select
  'bad' as state,
  format('autovacuum leaves out table %s.%s', n.nspname, c.relname) as sentence,
  format('alter table %I.%I reset (autovacuum_enabled);', n.nspname, c.relname) as remedy
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join unnest(c.reloptions) as o (entry)
where
  c.relkind = 'r'
  and (
    n.nspname = 'jobsdb'
    or (
      n.nspname = 'public'
      and c.relname in ('jobs', 'job_tasks', 'kanban_cards', 'agent_runs')
    )
  )
  and o.entry ~ '^autovacuum_enabled=(off|false|no|0|f|n)$'
order by n.nspname, c.relname;
