-- after created, as tenant
select
  contact_key,
  email,
  is_in,
  reason
from dry_run_job('{job}');
