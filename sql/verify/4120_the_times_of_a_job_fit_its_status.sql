-- 4120 The times of a job fit its status.
-- so: it was moved past its guard
select
  format('job %s', j.id) as object,
  p.missing,
  p.extra,
  p.fix || format(' where id = %L;', j.id) as fix
from public.jobs as j
cross join
  lateral (
    values
    (
      'started_at of a running job', null, 'update public.jobs set started_at = updated_at',
      j.status = 'running' and j.started_at is null
    ),
    (
      format('finished_at of a %s job', j.status),
      null,
      'update public.jobs set finished_at = updated_at',
      j.status in ('succeeded', 'failed', 'cancelled') and j.finished_at is null
    ),
    (
      null,
      format('finished_at of a %s job', j.status),
      'update public.jobs set finished_at = null',
      j.status in ('pending', 'running') and j.finished_at is not null
    ),
    (
      null, format('paused_at of a %s job', j.status), 'update public.jobs set paused_at = null',
      j.status in ('succeeded', 'failed', 'cancelled') and j.paused_at is not null
    )
  ) as p (missing, extra, fix, is_so)
where p.is_so
order by object
limit 100;
