-- after sent, as tenant
select
  name,
  status,
  approval_rate
from get_job_metrics_for_org('{org}');
