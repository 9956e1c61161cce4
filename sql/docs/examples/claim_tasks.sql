-- after started, as service
select
  id,
  kind,
  input -> 'contact_ids' as contacts,
  attempt,
  lease_token
from claim_tasks('my-worker', kinds => '{draft_email}');
