-- after created, as tenant
select
  name,
  status,
  started_at
from transition_job_status('{job}', 'running');
