-- One e-mail to five contacts; start it yourself.
-- organisation: A
--
-- How to read it: see amc-q4-followup.sql.

-- at first, a person: brings five contacts and creates it
-- does: enrol
select
  public.upsert_contacts(
    jsonb_agg(
      jsonb_build_object(
        'contact_key', 'test-job/' || n.name,
        'email', n.name || '@test-job.example.com',
        'groups', array['test-job/AMC'],
        'attributes', jsonb_build_object('first_name', initcap(n.name))
      )
    ),
    current_setting('seed.org')::uuid
  )
from unnest(array['aiko', 'bruno', 'chloe', 'david', 'edith']) as n (name);

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
