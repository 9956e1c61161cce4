-- 7230 Every kind of work has a worker.
-- so: campaigns stand still
--
-- Of each job and kind only the next task is looked at: one index entry.
with waiting as (
  select
    k.kind,
    count(*) as jobs,
    min(q.created_at) as since
  from jobsdb.runnable_jobs as r
  cross join jobsdb.task_kinds as k
  cross join
    lateral (
      select t.created_at
      from public.job_tasks as t
      where t.job_id = r.job_id and t.kind = k.kind and t.pos is not null
      order by t.pos
      limit 1
    ) as q
  where r.since < clock_timestamp() - ($1 ->> 'patience')::interval
  group by k.kind
)

select
  'warn' as state,
  format(
    'nobody works on tasks of kind %s: in %s jobs they wait, the oldest for %s',
    w.kind, w.jobs, date_trunc('second', clock_timestamp() - w.since)
  ) as sentence,
  format('Start a worker, such as: jobsdb work --kinds %s --exec COMMAND', w.kind) as remedy
from waiting as w
where
  w.since < clock_timestamp() - ($1 ->> 'patience')::interval
  and not exists (
    select from jobsdb.leases as l
    inner join public.job_tasks as t on t.id = any(l.task_ids) and l.org_id = t.org_id
    where t.kind = w.kind and l.look_at > clock_timestamp()
  )
order by w.kind;
