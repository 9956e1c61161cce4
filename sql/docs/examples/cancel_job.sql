-- after started, as tenant
select
  status,
  tasks_total,
  tasks_skipped,
  finished_at
from cancel_job('{job}');
