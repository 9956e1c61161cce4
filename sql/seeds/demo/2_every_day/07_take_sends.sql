-- A sender claims e-mails that may go out.
-- as: service
select
  s.id as send,
  s.lease_token as lease,
  s.idempotency_key as key,
  s.recipient
from claim_sends('sender', 100, current_setting('demo.org')::uuid) as s
order by s.recipient;
