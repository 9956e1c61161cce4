-- after claimed, as service
select
  verdicts,
  id,
  kind
from complete_and_claim('{{task}}', '{lease}', array['{"cards": 2}'::jsonb], 'my-worker');
