-- after nothing, as tenant
select
  touch,
  day,
  template,
  variables
from explain_job_params(
  '{"cadence": {"day0": true, "day4": true},
    "templates": {"intro": "Subject: Hello {{first_name}}\nBody: …",
                  "reminder": "Subject: Again\nBody: …"}}'
);
