-- 3170 Every trigger is enabled.
-- so: what it guards or counts passes by; this includes the triggers behind foreign keys
select
  format('%s.%s.%s', n.nspname, c.relname, coalesce(k.conname, t.tgname)) as object,
  'enabled' as missing,
  case t.tgenabled when 'R' then 'only on a replica' else 'disabled' end as extra,
  format('alter table %s.%s enable trigger %I;', n.nspname, c.relname, t.tgname) as fix
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_constraint as k on t.tgconstraint = k.oid and t.tgisinternal
where
  t.tgenabled in ('D', 'R')
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s.%s', n.nspname, c.relname, coalesce(k.conname, t.tgname)) !~ ($1 ->> 'host')
order by object, fix;
