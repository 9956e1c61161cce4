-- The campaign in which the examples of the reference happen, told as a row of moments. Each
-- example of examples/ says after which moment it is tried; it is taken back before the story goes
-- on. What a moment returns in its last row is kept: {job} in a later text stands for its id.

-- moment nothing, as owner

-- moment uploaded, as tenant
select
  upsert_contacts(
    '[
      {"contact_key": "ann", "email": "ann@example.com", "groups": ["AMC"],
       "attributes": {"first_name": "Ann"}},
      {"contact_key": "bob", "email": "bob@example.com", "groups": ["AMC"],
       "attributes": {"first_name": "Bob"}},
      {"contact_key": "cid", "email": "cid@nowhere", "groups": ["AMC"],
       "attributes": {"first_name": "Cid"}}
    ]'
  );

-- moment created, as tenant
select id as job
from create_job(
  '{
    "name": "Q4 renewals",
    "params": {
      "target_group": "AMC",
      "cadence": {"day0": true, "day4": true},
      "templates": {
        "intro": {"subject": "Hello {{first_name}}", "body": "Shall we renew?"},
        "reminder": {"subject": "Again, {{first_name}}", "body": "Any news?"}
      }
    }
  }'
);

-- moment started, as tenant
select status from transition_job_status('{job}', 'running');

-- moment claimed, as service
select
  id as task,
  lease_token as lease
from claim_tasks('drafter', 1, '{draft_email}');

-- moment drafted, as service
select draft_cards('{task}', '{lease}');

select complete_tasks('{{task}}', '{lease}');

select
  card_id as ann_card,
  content_hash as ann_hash
from review_queue
where content ->> 'to' = 'ann@example.com';

select
  card_id as bob_card,
  content_hash as bob_hash
from review_queue
where content ->> 'to' = 'bob@example.com';

-- moment approved, as tenant
select * from review_cards('{{ann_card},{bob_card}}', '{{ann_hash},{bob_hash}}', 'approve');

-- moment leased, as service
select
  max(id) filter (where recipient = 'ann@example.com') as send,
  max(id) filter (where recipient = 'bob@example.com') as bob_send,
  min(lease_token::text) as send_lease
from claim_sends('sender', 10);

-- moment asked, as service
select verdict from begin_send('{send}', '{send_lease}');

-- moment sent, as service
select settle_send('{send}', '{send_lease}', 'sent', 'resend', 'msg_1');

select begin_send('{bob_send}', '{send_lease}');

select settle_send('{bob_send}', '{send_lease}', 'sent', 'resend', 'msg_2');

select refresh_job_metrics();
