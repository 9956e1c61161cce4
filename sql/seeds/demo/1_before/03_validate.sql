-- She asks what is wrong with the campaign as she has it in mind.
-- as: tenant
-- shows: rows
select
  p.path,
  p.sentence
from validate_job_params(
  '{
    "target_group": "renewals",
    "cadence": {"day0": true, "day4": "reminder", "day10": true},
    "templates": {"intro": "Subject: Your plan\nBody: …", "last": "Subject: Bye\nBody: …"},
    "batch_size": 0
  }'
) as p;
