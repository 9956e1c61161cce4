-- Fay Roth unsubscribed last year, and one domain wants no mail.
-- as: owner
select jobsdb.suppress(current_setting('demo.org')::uuid, s.scope, s.value, s.reason)
from (
  values
  ('address', 'fay.roth@roth.example', 'unsubscribe'),
  ('domain', 'closed.example', 'asked to')
) as s (scope, value, reason);
