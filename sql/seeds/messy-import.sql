-- A list as people export it; paused, then cancelled.
-- organisation: B
--
-- Duplicates, bad addresses, names that are code. How to read it: see amc-q4-followup.sql.

-- at first, a person: brings a list nobody has looked at and creates the campaign
-- does: enrol
select
  jobsdb.suppress(
    current_setting('seed.org')::uuid, s.scope, s.value, s.reason
  )
from (
  values
  ('address', 'carl@messy.test', 'unsubscribe'),
  ('domain', 'closed.messy.test', 'the company was dissolved')
) as s (scope, value, reason);

select
  public.upsert_contacts(
    jsonb_agg(
      jsonb_build_object(
        'contact_key', 'messy-import/' || c.line,
        'email', c.email,
        'groups', array['messy-import/import'],
        'time_zone', c.time_zone,
        'attributes', jsonb_strip_nulls(jsonb_build_object('first_name', c.first_name))
      )
    ),
    current_setting('seed.org')::uuid
  )
from (
  values
  ('01', 'ann@messy.example.com', 'Ann', 'Europe/Berlin'),
  ('02', 'ANN@Messy.Example.com', 'Ann (2)', 'Europe/Berlin'),
  ('03', ' ann@messy.example.com ', 'ann', null),
  ('04', 'bob at messy.example.com', 'Bob', null),
  ('05', 'two@@messy.test', 'Two', null),
  ('06', null, 'Nobody', null),
  ('07', '', 'Blank', null),
  ('08', 'carl@messy.test', 'Carl', null),
  ('09', 'cleo@closed.messy.test', 'Cleo', null),
  ('10', 'dora@messy.test', null, null),
  ('11', 'erin@messy.test', 'Erin', 'Mars/Olympus'),
  ('12', 'finn@messy.test', '<script>alert(1)</script>', null),
  ('13', 'gina@messy.test', '{{email}}', null),
  ('14', 'hank@messy.test', E'Hank\r\nBcc: all@messy.test', null)
) as c (line, email, first_name, time_zone);

insert into public.jobs (id, org_id, name, description, params)
values (
  current_setting('seed.job')::uuid,
  current_setting('seed.org')::uuid,
  'Messy Import',
  'A list from three spreadsheets. Fourteen rows, six people.',
  '{
    "seed": "messy-import",
    "target_group": "import",
    "cadence": {"day0": true, "day5": true},
    "templates": {
      "intro": {
        "subject": "{{first_name}}, is this still you?",
        "body": "<p>Hello {{first_name}}, may we write to {{email}}?</p>"
      },
      "reminder": {
        "subject": "Still you?",
        "body": "<p>Hello {{first_name|there}}, we have not heard from you.</p>"
      }
    },
    "send_window": {"from": "00:00", "to": "24:00", "tz": "Europe/Berlin"},
    "review_mode": true
  }'
);

-- 20 minutes later, a person: starts it
select public.transition_job_status(current_setting('seed.job')::uuid, 'running');

-- 1 minute later, an agent: takes the draft
-- does: take_drafts

-- 3 minutes later, an agent: has written six e-mails; one has no name to say
-- does: draft

-- 40 minutes later, a person: approves those with a name
select
  r.card_id,
  r.outcome
from (
  select
    array_agg(q.card_id) as cards,
    array_agg(q.content_hash) as shown
  from public.review_queue as q
  where q.job_id = current_setting('seed.job')::uuid and q.missing = '[]'
) as q
cross join lateral public.review_cards(q.cards, q.shown, 'approve') as r;

-- 5 minutes later, an agent: asks the provider for each
-- does: send

-- 1 minute later, an agent: has an answer for all but one when its machine dies
select public.settle_send(s.id, s.lease_token, 'sent', 'sample', left(s.idempotency_key, 24))
from jobsdb.sends as s
where
  s.job_id = current_setting('seed.job')::uuid
  and s.state = 'dispatching'
  and s.contact_key <> 'messy-import/13'
order by s.id;

-- 10 minutes later, a person: writes the name that was missing
select
  public.review_card(
    q.card_id,
    'approve',
    content => q.content || jsonb_build_object(
      'subject', replace(q.content ->> 'subject', '{{first_name}}', 'Dora'),
      'body', replace(q.content ->> 'body', '{{first_name}}', 'Dora'),
      'missing', '[]'::jsonb
    )
  )
from public.review_queue as q
where q.job_id = current_setting('seed.job')::uuid;

-- 2 minutes later, an agent: another sender goes on; whether the lost one was sent, nobody knows
-- does: send

-- 1 minute later, an agent: has sent it
-- does: settle

-- 1 hour later, an agent: hears from the provider
-- does: report
select
  public.record_send_event(
    'sample', concat_ws('-', left(s.idempotency_key, 24), e.event), e.event, send_id => s.id
  )
from (
  values ('11', 'bounce_soft'), ('12', 'bounce_hard'), ('14', 'complaint')
) as e (line, event)
inner join jobsdb.sends as s on s.contact_key = 'messy-import/' || e.line
where s.job_id = current_setting('seed.job')::uuid;

-- 30 minutes later, a person: has seen enough for today
select public.pause_job(current_setting('seed.job')::uuid);

-- 1 day later, a person: gives the list up
select public.cancel_job(current_setting('seed.job')::uuid);

-- 2 days later: this is how it stands
