-- There is one: she asks the provider whether it has it, and decides.
-- as: tenant
-- counts: sends
select
  case r.decision when 'delivered' then 'found delivered' else 'to be sent again' end as word,
  1 as number
from resolve_unknown(
  current_setting('demo.send')::bigint, current_setting('demo.decision')
) as r (decision);
