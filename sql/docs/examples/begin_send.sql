-- after leased, as service
select
  verdict,
  recipient,
  subject,
  body
from begin_send('{send}', '{send_lease}');
