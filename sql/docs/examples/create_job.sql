-- after uploaded, as tenant
select
  id,
  name,
  status,
  tasks_total
from create_job(
  '{"name": "Test Job", "description": "First test job",
    "params": {"target_group": "AMC", "cadence": {"day0": true},
               "templates": {"intro": {"subject": "Hello {{first_name}}", "body": "Test email"}},
               "review_mode": true, "batch_size": 5}}'
);
