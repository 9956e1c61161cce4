-- 3210 Every foreign key names the organisation.
-- so: a row can be linked to a job of another organisation
--
-- Not so: a card's task, which the card guard compares with the card's job; and runs of a host
-- that gives them no organisation, whose guard asks for the caller's.
select
  format('%s.%s.%s', n.nspname, c.relname, k.conname) as object,
  'org_id in ' || pg_get_constraintdef(k.oid) as missing,
  null as extra,
  format(
    'alter table %s.%s drop constraint %I; then add it with org_id', n.nspname, c.relname, k.conname
  ) as fix
from pg_catalog.pg_constraint as k
inner join pg_catalog.pg_class as c on k.conrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_class as t on k.confrelid = t.oid
where
  k.contype = 'f'
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s.%s', n.nspname, c.relname, k.conname) !~ ($1 ->> 'host')
  and t.relname in ('jobs', 'job_tasks')
  and k.conname not in ('jobsdb_card_belongs_to_task', 'jobsdb_run_belongs_to_job')
  and not exists (
    select from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attnum = any(k.conkey) and a.attname = 'org_id'
  )
order by object;
