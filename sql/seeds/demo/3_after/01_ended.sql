-- Ana asks what keeps it from ending: nothing. It has ended by itself.
-- as: tenant
-- shows: rows
select
  p.status,
  format('%s of %s', p.tasks_done, p.tasks_total) as tasks_done,
  p.cards_done,
  p.cards_rejected,
  (select count(*) from job_blockers(current_setting('demo.job')::uuid)) as blockers
from get_job_progress(current_setting('demo.job')::uuid) as p;
