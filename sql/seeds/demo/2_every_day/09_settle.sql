-- The provider has taken it: that is noted, and the card is done.
-- as: service
-- counts: sends
select
  case s.verdict when 'ok' then 'sent' else s.verdict end as word,
  1 as number
from settle_send(
  current_setting('demo.send')::bigint,
  current_setting('demo.lease')::uuid,
  'sent',
  current_setting('demo.provider'),
  current_setting('demo.message')
) as s (verdict);
