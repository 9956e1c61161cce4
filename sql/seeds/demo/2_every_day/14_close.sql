-- A domain wants no more e-mail: it is suppressed.
-- as: owner
-- counts: events
select
  'domain closed' as word,
  1 as number
from jobsdb.suppress(
  current_setting('demo.org')::uuid, 'domain', current_setting('demo.domain'), 'asked to'
);
