-- after started, as tenant
select
  status,
  paused_at
from pause_job('{job}');
