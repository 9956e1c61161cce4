-- after drafted, as tenant
select
  title,
  state,
  content ->> 'to' as recipient
from get_job_cards('{job}')
order by recipient;
