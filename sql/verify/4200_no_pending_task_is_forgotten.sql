-- 4200 No pending task is forgotten.
-- so: it is never handed out, and its job never ends
--
-- A pending task has a place in the queue, a time, or an open step it waits for; a step that has
-- just ended is noted in jobsdb.missed_steps.
select
  format('task %s', t.id) as object,
  case when t.waits_on is null then 'a place in the queue' else 'an open step to wait for' end
    as missing,
  'waits for step ' || t.waits_on as extra,
  case
    when
      t.waits_on is null
      then format('update public.job_tasks set scheduled_for = now() where id = %s;', t.id)
    else format(
      'insert into jobsdb.missed_steps (job_id, org_id, batch, step) values (%L, %L, %s, %s);',
      t.job_id, t.org_id, t.batch, t.waits_on
    )
  end as fix
from public.job_tasks as t
inner join public.jobs as j on t.job_id = j.id and t.org_id = j.org_id
where
  t.status = 'pending'
  and j.status in ('pending', 'running')
  and t.pos is null
  and (
    (t.waits_on is null and t.waits_until is null)
    or (
      t.waits_on is not null
      and not exists (
        select from public.job_tasks as u
        where
          u.job_id = t.job_id
          and u.org_id = t.org_id
          and u.batch = t.batch
          and u.step = t.waits_on
          and u.status in ('pending', 'running', 'error')
      )
      and not exists (
        select from jobsdb.missed_steps as m
        where
          m.job_id = t.job_id and m.org_id = t.org_id and m.batch = t.batch and m.step = t.waits_on
      )
    )
  )
order by object
limit 100;
