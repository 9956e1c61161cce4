-- Errors
-- What tasks last failed of, the most frequent first, 50 at most. Given up: no attempt is left.
-- $1 the job.
select
  t.kind,
  t.error_message as message,
  count(*) as tasks,
  count(*) filter (where t.status = 'error') as given_up,
  sum(t.retry_count) as retries,
  max(t.finished_at) as last_at
from public.job_tasks as t
where t.job_id = $1::uuid and (t.status = 'error' or t.error_message is not null)
group by t.kind, t.error_message
order by count(*) desc, t.kind asc, t.error_message asc
limit 50;
