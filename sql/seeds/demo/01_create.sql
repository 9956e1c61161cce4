-- Ana creates a campaign. It is pending: nothing happens yet.
-- as: tenant
-- keeps: job
insert into jobs (org_id, name, description, params)
values (
  auth.uid(),
  'Renewals',
  'Ask six customers whether they renew, and call those who answer.',
  '{
    "seed": "demo",
    "target_group": "renewals",
    "cadence": {"day0": true},
    "templates": {
      "intro": {
        "subject": "Your plan ends soon, {{first_name}}",
        "body": "Hello {{first_name}}, shall we renew your plan with {{company_name}}?"
      }
    },
    "review_mode": true,
    "batch_size": 3
  }'
)
returning id as job;
