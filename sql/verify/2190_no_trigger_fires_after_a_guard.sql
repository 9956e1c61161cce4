-- 2190 No trigger fires after a guard.
-- so: it can change a row after the guard has proved and counted it
--
-- BEFORE triggers fire in the order of their names. Cards and runs are guarded AFTER, where a
-- host's own triggers have done their work.
select
  format('%s.%s.%s', n.nspname, c.relname, t.tgname) as object,
  null as missing,
  format('fires after %s: %s', max(g.tgname), pg_get_triggerdef(t.oid)) as extra,
  format(
    'alter trigger %I on %s.%s rename to %I;', t.tgname, n.nspname, c.relname, 't05_' || t.tgname
  ) as fix
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_trigger as g on t.tgrelid = g.tgrelid
inner join pg_catalog.pg_proc as p on g.tgfoid = p.oid
inner join pg_catalog.pg_namespace as pn on p.pronamespace = pn.oid
where
  n.nspname = 'public'
  and c.relname in ('jobs', 'job_tasks')
  and pn.nspname = 'jobsdb'
  -- Both are BEFORE (2) and ROW (1), and share INSERT (4) or UPDATE (16).
  and t.tgtype & 3 = 3
  and g.tgtype & 3 = 3
  and t.tgtype & g.tgtype & 20 <> 0
  and t.tgname > g.tgname
  and not exists (
    select from pg_catalog.pg_proc as o
    where o.oid = t.tgfoid and o.pronamespace = pn.oid
  )
group by n.nspname, c.relname, t.tgname, t.oid
order by object;
