-- after started, as tenant
select pause_job('{job}');

-- shown, as tenant
select
  status,
  paused_at
from resume_job('{job}');
