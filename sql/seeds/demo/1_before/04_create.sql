-- She creates it, corrected: e-mails on day 0, 4 and 10. It waits.
-- as: tenant
-- keeps: job
select c.id as job
from create_job(
  jsonb_build_object(
    'name', 'Renewals',
    'description', 'Ask the customers whose plan ends whether they renew.',
    'params', '{
      "target_group": "renewals",
      "cadence": {"day0": "intro", "day4": "reminder", "day10": "last"},
      "templates": {
        "intro": {
          "subject": "Your plan ends soon, {{first_name}}",
          "body": "Hello {{first_name}}, shall we renew the plan of {{company}}?"
        },
        "reminder": {
          "subject": "{{first_name}}, did you see this?",
          "body": "Hello {{first_name}}, the plan of {{company}} ends in a week."
        },
        "last": {
          "subject": "Last call, {{first_name}}",
          "body": "Hello {{first_name}}, the plan of {{company}} ends tomorrow."
        }
      },
      "review_mode": true,
      "batch_size": 10,
      "seed": "demo"
    }'::jsonb || jsonb_build_object('part', current_setting('demo.run'))
  )
) as c;
