-- after approved, as service
select
  id,
  recipient,
  state,
  lease_token
from claim_sends('sender', 10)
order by recipient;
