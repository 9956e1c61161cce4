-- Without review, within hours and limits; succeeded.
-- organisation: A
--
-- Nobody reviews a reminder, unless a variable is missing. How to read it: see
-- amc-q4-followup.sql. Windows are those of the real clock, whatever the moments say: so the
-- contacts live where it is about noon while this is loaded, and days pass as a whole.

-- at first, a person: brings the contacts, among them many of one domain, and creates it
-- does: enrol
with zones as (
  select
    z.name,
    row_number() over (order by z.place) as place,
    count(*) over () as number
  from
    unnest(array[
      'Pacific/Honolulu', 'America/Los_Angeles', 'America/Denver', 'America/Chicago',
      'America/New_York', 'America/Sao_Paulo', 'Atlantic/Azores', 'Europe/London', 'Europe/Berlin',
      'Africa/Nairobi', 'Asia/Dubai', 'Asia/Kolkata', 'Asia/Singapore', 'Asia/Tokyo',
      'Australia/Sydney', 'Pacific/Auckland'
    ]) with ordinality as z (name, place)
  where extract(hour from now() at time zone z.name) between 11 and 16
)

select
  public.upsert_contacts(
    jsonb_agg(
      jsonb_build_object(
        'contact_key', 'renewal-reminders/' || c.name,
        'email', c.name || '@' || case
          when c.place <= 7 then 'harbor.renewals.test' else 'renewals.example.com'
        end,
        'groups', array['renewal-reminders/renewals'],
        'time_zone', z.name,
        'attributes', jsonb_build_object('first_name', initcap(c.name)) || case c.name
          when 'quincy' then '{}' else '{"plan": "Family Care"}'
        end::jsonb
      )
    ),
    current_setting('seed.org')::uuid
  )
from
  unnest(string_to_array(
    'adele bjorn cyrus delia ethan freya gavin '
    'heidi isaac julia kenji lydia moses nadia oscar petra quincy renee',
    ' '
  )) with ordinality as c (name, place)
inner join zones as z on z.place = 1 + c.place % z.number;

insert into public.jobs (id, org_id, name, description, params)
values (
  current_setting('seed.job')::uuid,
  current_setting('seed.org')::uuid,
  'Renewal Reminders',
  'Two reminders that need no review, by day where the reader lives.',
  '{
    "seed": "renewal-reminders",
    "target_group": "renewals",
    "cadence": {"day0": true, "day3": true},
    "templates": {
      "intro": {
        "subject": "Your plan {{plan}} ends this month",
        "body": "Hello {{first_name}}, shall we renew {{plan}} for another year?"
      },
      "reminder": {
        "subject": "{{first_name}}, three days left",
        "body": "Hello {{first_name}}, without an answer {{plan}} ends on Friday."
      }
    },
    "review_mode": false,
    "batch_size": 6,
    "send_window": {"from": "08:00", "to": "20:00", "in": "contact"},
    "mailbox": "renewals@renewals.example.com",
    "budget": {"max_cost": 5}
  }'
);

-- 10 minutes later, a person: starts it, with at most four e-mails an hour to the large domain
select
  jobsdb.limit_sends(
    current_setting('seed.org')::uuid, 4, '1 hour', 'domain', 'harbor.renewals.test'
  );

select public.transition_job_status(current_setting('seed.job')::uuid, 'running');

-- 2 minutes later, an agent: takes the drafts
-- does: take_drafts

-- 5 minutes later, an agent: has written them; what misses a variable waits for a person
-- does: draft
select public.record_usage(current_setting('seed.job')::uuid, 0.38, 21800, 3900);

-- 25 minutes later, a person: writes what was missing
select
  public.review_card(
    q.card_id,
    'approve',
    content => q.content || jsonb_build_object(
      'subject', replace(q.content ->> 'subject', '{{plan}}', 'Single Care'),
      'body', replace(q.content ->> 'body', '{{plan}}', 'Single Care'),
      'missing', '[]'::jsonb
    )
  )
from public.review_queue as q
where q.job_id = current_setting('seed.job')::uuid;

-- 5 minutes later, an agent: sends what the limit allows
-- does: send

-- 2 minutes later, an agent: has sent it; one mailbox is closed, one server was too busy
-- does: settle
select
  public.settle_send(
    s.id,
    s.lease_token,
    case s.contact_key when 'renewal-reminders/oscar' then 'failed' else 'retry' end,
    'sample',
    reason => case s.contact_key
      when 'renewal-reminders/oscar' then '550 mailbox is closed' else '451 try again later'
    end
  )
from jobsdb.sends as s
where
  s.job_id = current_setting('seed.job')::uuid
  and s.contact_key in ('renewal-reminders/oscar', 'renewal-reminders/petra');

-- 1 hour 5 minutes later, an agent: sends the others
-- does: send

-- 2 minutes later, an agent: has sent them
-- does: settle

-- 1 hour later, an agent: hears from the provider
-- does: report
select
  public.record_send_event(
    'sample', concat_ws('-', left(s.idempotency_key, 24), e.event), e.event, send_id => s.id
  )
from (
  values
  ('adele', 'open_human'),
  ('adele', 'click'),
  ('bjorn', 'bounce_soft'),
  ('cyrus', 'bounce_hard'),
  ('delia', 'open_machine'),
  ('ethan', 'open_human'),
  ('freya', 'open_machine'),
  ('freya', 'open_human'),
  ('heidi', 'open_human'),
  ('heidi', 'click'),
  ('isaac', 'open_human'),
  ('isaac', 'unsubscribe'),
  ('julia', 'auto_reply'),
  ('kenji', 'open_human'),
  ('kenji', 'reply'),
  ('lydia', 'open_machine'),
  ('moses', 'complaint')
) as e (name, event)
inner join jobsdb.sends as s on s.contact_key = 'renewal-reminders/' || e.name
where s.job_id = current_setting('seed.job')::uuid;

-- 1 day later, an agent: gets an answer
select
  public.record_send_event(
    'sample', left(s.idempotency_key, 24) || '-reply', 'reply', send_id => s.id
  )
from jobsdb.sends as s
where
  s.job_id = current_setting('seed.job')::uuid
  and s.contact_key = 'renewal-reminders/adele';

-- 1 day 23 hours later, an agent: plans the second touch and takes its drafts
-- does: take_drafts
select public.plan_next_batch(current_setting('seed.job')::uuid);

-- 4 minutes later, an agent: has written them
-- does: draft
select public.record_usage(current_setting('seed.job')::uuid, 0.21, 12600, 2300);

-- 6 minutes later, a person: writes what was missing
select
  public.review_card(
    q.card_id,
    'approve',
    content => q.content || jsonb_build_object(
      'body', replace(q.content ->> 'body', '{{plan}}', 'Single Care'),
      'missing', '[]'::jsonb
    )
  )
from public.review_queue as q
where q.job_id = current_setting('seed.job')::uuid;

-- 3 minutes later, an agent: sends them
-- does: send

-- 2 minutes later, an agent: has sent what the limit allows
-- does: settle

-- 1 hour 1 minute later, an agent: sends the others
-- does: send

-- 2 minutes later, an agent: has sent them, and nothing is left to do
-- does: settle, report

-- 8 hours later, an agent: sees who has read the reminder
select
  public.record_send_event(
    'sample', concat_ws('-', left(s.idempotency_key, 24), e.event), e.event, send_id => s.id
  )
from (
  values
  ('bjorn', 'open_human'),
  ('delia', 'open_human'),
  ('delia', 'reply'),
  ('ethan', 'click'),
  ('heidi', 'open_machine'),
  ('lydia', 'reply'),
  ('nadia', 'open_human'),
  ('quincy', 'unsubscribe')
) as e (name, event)
inner join jobsdb.sends as s on s.contact_key = 'renewal-reminders/' || e.name
where s.job_id = current_setting('seed.job')::uuid and s.touch = '1';

-- 8 days 14 hours later: this is how it stands
