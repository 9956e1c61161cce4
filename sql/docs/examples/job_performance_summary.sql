-- after sent, as tenant
select
  jobs_total,
  tasks_completed,
  approval_rate,
  emails_sent,
  refreshed_at
from job_performance_summary
where org_id = auth.uid();
