-- after nothing, as tenant
select
  path,
  severity,
  sentence
from validate_job_params('{"cadence": {"day0": "yes"}, "batch_size": 0, "colour": "red"}');
