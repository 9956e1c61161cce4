-- after sent, as service
select
  status,
  tasks_done,
  cards_done
from settle_job('{job}');
