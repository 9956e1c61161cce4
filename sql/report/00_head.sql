-- What the page begins with.
-- $1 the job.
select
  m.name,
  case when m.paused then 'paused' else m.status end as status,
  j.description,
  m.job_id::text as job,
  m.created_at,
  m.started_at,
  m.finished_at,
  m.refreshed_at as moment
from public.job_metrics_live as m
inner join public.jobs as j on m.job_id = j.id
where m.job_id = $1::uuid;
