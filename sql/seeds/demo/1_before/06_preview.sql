-- She reads what the first of them would get.
-- as: tenant
-- shows: rows
select
  p.day,
  p.recipient,
  p.subject
from preview_job(current_setting('demo.job')::uuid, 1) as p;
