-- after drafted, as tenant
select
  what,
  items,
  oldest_at,
  sentence
from job_blockers('{job}');
