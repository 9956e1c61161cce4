-- after drafted, as tenant
select
  status,
  percent,
  tasks_total,
  tasks_done,
  pending,
  cards_in_review
from get_job_progress('{job}');
