-- How far the campaign is that the demo plays.
select
  p.status,
  p.tasks_done,
  p.tasks_total,
  p.running,
  p.tasks_error,
  p.cards_in_review,
  p.cards_approved,
  p.cards_rejected,
  p.cards_done
from get_job_progress(current_setting('demo.job')::uuid) as p;
