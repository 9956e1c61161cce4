-- 4140 The times of a task fit its status.
-- so: durations in the metrics are wrong
with suspects as (
  select
    t.id,
    t.status,
    t.started_at,
    t.finished_at,
    t.lease_token,
    t.status in ('done', 'error', 'skipped') as is_over
  from public.job_tasks as t
  where
    (t.status in ('done', 'error', 'skipped')) = (t.finished_at is null)
    or (t.status = 'running' and t.started_at is null)
    or (t.status <> 'running' and t.lease_token is not null)
)

select
  format('task %s', t.id) as object,
  p.missing,
  p.extra,
  p.fix || format(' where id = %s;', t.id) as fix
from suspects as t
cross join
  lateral (
    values
    (
      'started_at of a running task',
      null,
      'update public.job_tasks set started_at = created_at',
      t.status = 'running' and t.started_at is null
    ),
    (
      format('finished_at of a task that is %s', t.status),
      null,
      'update public.job_tasks set finished_at = coalesce(started_at, created_at)',
      t.is_over and t.finished_at is null
    ),
    (
      null,
      format('finished_at of a %s task', t.status),
      'update public.job_tasks set finished_at = null',
      not t.is_over and t.finished_at is not null
    ),
    (
      null,
      format('a lease of a task that is %s', t.status),
      'update public.job_tasks set lease_token = null, lease_expires_at = null',
      t.status <> 'running' and t.lease_token is not null
    )
  ) as p (missing, extra, fix, is_so)
where p.is_so
order by object
limit 100;
