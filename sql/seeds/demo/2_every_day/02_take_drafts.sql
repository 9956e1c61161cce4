-- A drafter claims tasks.
-- as: service
select
  t.id as task,
  t.lease_token as lease
from claim_tasks(
  'agent', 2, array['draft_email'], current_setting('demo.org')::uuid
) as t;
