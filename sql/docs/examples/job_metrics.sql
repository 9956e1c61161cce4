-- after sent, as tenant
select
  job_id,
  tasks_completed,
  cards_by_type,
  approval_rate,
  refreshed_at
from job_metrics;
