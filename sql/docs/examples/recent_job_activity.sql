-- after sent, as tenant
select
  job_name,
  entity,
  what,
  happened_at,
  who
from recent_job_activity
where org_id = auth.uid()
order by happened_at desc
limit 3;
