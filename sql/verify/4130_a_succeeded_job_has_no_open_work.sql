-- 4130 A succeeded job has no open work.
-- so: tasks of it are never done, and cards of it never sent
with open_work as (
  select
    t.job_id,
    format('task %s %s', t.id, t.status) as item,
    format('update public.job_tasks set status = ''skipped'' where id = %s;', t.id) as fix
  from public.job_tasks as t
  where t.status in ('pending', 'running')
  union all
  select
    k.job_id,
    format('card %s %s', k.id, k.state) as item,
    format('update public.kanban_cards set job_id = null where id = %L;', k.id) as fix
  from public.kanban_cards as k
  where
    k.job_id is not null
    and k.state::text not in ('rejected', 'done')
)

select
  format('job %s', j.id) as object,
  null as missing,
  w.item as extra,
  w.fix
from public.jobs as j
inner join open_work as w on j.id = w.job_id
where j.status = 'succeeded'
order by object, extra
limit 100;
