-- It asks the gate about each, which notes that the provider is asked.
-- as: service
select
  g.verdict,
  g.idempotency_key as key,
  g.recipient,
  g.subject,
  g.body
from begin_send(
  current_setting('demo.send')::bigint,
  current_setting('demo.lease')::uuid,
  knows_repeats => current_setting('demo.provider') = 'courier'
) as g;
