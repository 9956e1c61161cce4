-- A planner plans the next e-mail of everybody whose day has come.
-- as: service
select
  p.job_id,
  p.tasks
from claim_planning('planner', current_setting('demo.org')::uuid) as p;
