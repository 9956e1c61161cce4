-- One e-mail to five contacts; start it yourself.
-- organisation: A

-- at first, a person: creates it
insert into public.jobs (id, org_id, name, description, params)
values (
  current_setting('seed.job')::uuid,
  current_setting('seed.org')::uuid,
  'Test Job',
  'First test job',
  '{
    "seed": "test-job",
    "target_group": "AMC",
    "cadence": {"day0": true},
    "templates": {"intro": {"subject": "Hello {{first_name}}", "body": "Test email"}},
    "review_mode": true,
    "batch_size": 5
  }'
);

-- 1 hour later: this is how it stands
