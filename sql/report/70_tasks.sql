-- Tasks by kind
-- $1 the job.
select
  k.kind,
  coalesce((k.numbers ->> 'pending')::int, 0) as pending,
  coalesce((k.numbers ->> 'running')::int, 0) as running,
  coalesce((k.numbers ->> 'done')::int, 0) as done,
  coalesce((k.numbers ->> 'error')::int, 0) as error,
  coalesce((k.numbers ->> 'skipped')::int, 0) as skipped
from public.job_metrics_live as m
cross join lateral jsonb_each(m.by_kind) as k (kind, numbers)
where m.job_id = $1::uuid
order by k.kind;
