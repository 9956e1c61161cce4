-- after sent, as tenant
select
  job_id,
  tasks_completed,
  approval_rate
from job_metrics_live
where job_id = '{job}';
