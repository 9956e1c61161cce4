-- 3200 Every row names its organisation.
-- so: a policy would have to look at the parent of every row, and the table cannot be distributed
--
-- Not so, because their rows belong to nobody: the ledger, the state machine, the kinds of tasks,
-- the names of the host's tables and of its contacts, the time of the last refresh.
select
  format('%s.%s', n.nspname, c.relname) as object,
  'org_id uuid not null' as missing,
  null as extra,
  format('alter table %s.%s alter column org_id set not null;', n.nspname, c.relname) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  c.relkind in ('r', 'p')
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s', n.nspname, c.relname) !~ ($1 ->> 'adopted')
  and format('%s.%s', n.nspname, c.relname) not in (
    'jobsdb.ledger',
    'jobsdb.transitions',
    'jobsdb.task_kinds',
    'jobsdb.host_tables',
    'jobsdb.contact_source',
    'jobsdb.metrics_refresh'
  )
  and not exists (
    select from pg_catalog.pg_attribute as a
    where
      a.attrelid = c.oid
      and a.attname = 'org_id'
      and a.atttypid = 'uuid'::regtype
      and a.attnotnull
      and not a.attisdropped
  )
order by object;
