-- An e-mail campaign of three touches, on day five.
-- organisation: A
--
-- Told in the statements that people and agents would send. "2 hours later, a person: …" begins a
-- moment: the loader makes all there is that much older, then runs what follows in that person's
-- name (an agent has none). seed.job and seed.org are the ids of this job and its organisation.
-- "does:" names files of lib/, which run after the moment's own statements: what every campaign
-- does alike.

-- at first, a person: brings the contacts and creates the campaign
-- does: enrol
select
  public.upsert_contacts(
    jsonb_agg(
      jsonb_build_object(
        'contact_key', 'amc-q4-followup/' || c.name,
        'email', c.name || '@amc.example.com',
        'groups', array['amc-q4-followup/AMC'],
        'attributes', jsonb_build_object(
          'first_name', initcap(split_part(c.name, '.', 1)),
          'company_name', initcap(split_part(c.name, '.', 2)) || ' & Co',
          'state', 'FL',
          'active', true
        ) || c.but
      )
    ),
    current_setting('seed.org')::uuid
  )
from (
  select
    n.name,
    '{}'::jsonb as but
  from
    unnest(string_to_array(
      'amelia.stone ben.okafor carla.nunez dev.patel elena.rossi felix.braun grace.kim '
      'hugo.silva iris.novak jonas.lind kara.boyd liam.walsh maya.cohen nils.berg olga.petrova '
      'paul.dubois quinn.harper rosa.marin sam.turner tara.singh umar.farouk vera.lange '
      'wade.foster ximena.ruiz yara.haddad',
      ' '
    )) as n (name)
  union all
  -- Not addressed: another state, and one who has left.
  values
  ('zoe.alvarez', '{"state": "GA"}'::jsonb),
  ('zack.moreau', '{"active": false}')
) as c;

insert into public.jobs (id, org_id, name, description, params)
values (
  current_setting('seed.job')::uuid,
  current_setting('seed.org')::uuid,
  'Q4 AMC Follow-up Campaign',
  'Three e-mails to active AMC contacts in Florida, each reviewed before it is sent.',
  jsonb_build_object(
    'seed', 'amc-q4-followup',
    'target_group', 'AMC',
    'target_filter', jsonb_build_object('state', 'FL', 'active', true),
    'cadence', jsonb_build_object('day0', true, 'day4', true, 'day10', true),
    'templates', jsonb_build_object(
      'intro', 'Subject: {{first_name}}, your AMC plan for Q4\n'
      'Body: Hello {{first_name}}, {{company_name}} has a place in it. May I show you?',
      'followup1', 'Subject: Still on your list, {{first_name}}?\n'
      'Body: Hello {{first_name}}, I wrote last week about {{company_name}}. Ten minutes?',
      'followup2', 'Subject: Closing the list\n'
      'Body: Hello {{first_name}}, this is my last note about {{company_name}}.'
    ),
    'review_mode', true,
    'batch_size', 10
  )
);

-- 10 minutes later, a person: starts it
select public.transition_job_status(current_setting('seed.job')::uuid, 'running');

-- 1 minute later, an agent: takes the drafts
-- does: take_drafts

-- 6 minutes later, an agent: has written an e-mail for every contact, and says what it cost
-- does: draft
select public.record_usage(current_setting('seed.job')::uuid, 0.41, 30500, 5200);

-- 3 hours later, a person: rejects one, approves one with a better subject, then all but the last
select public.review_card(q.card_id, 'reject', comment => 'is a partner of ours')
from public.review_queue as q
where
  q.job_id = current_setting('seed.job')::uuid
  and q.content ->> 'contact_id' = 'amc-q4-followup/hugo.silva';

select
  public.review_card(
    q.card_id,
    'approve',
    content => q.content || '{"subject": "Grace, shall we renew your AMC plan?"}'
  )
from public.review_queue as q
where
  q.job_id = current_setting('seed.job')::uuid
  and q.content ->> 'contact_id' = 'amc-q4-followup/grace.kim';

select
  r.card_id,
  r.outcome
from (
  select
    array_agg(q.card_id) as cards,
    array_agg(q.content_hash) as shown
  from public.review_queue as q
  inner join public.job_tasks as t on q.task_id = t.id
  where q.job_id = current_setting('seed.job')::uuid and t.step < 5
) as q
cross join lateral public.review_cards(q.cards, q.shown, 'approve') as r;

-- 50 minutes later, an agent: sends what was approved
-- does: send

-- 3 minutes later, an agent: has sent it
-- does: settle

-- 20 minutes later, an agent: hears from the provider; one address does not exist
-- does: report
select
  public.record_send_event(
    'sample', left(s.idempotency_key, 24) || '-bounce', 'bounce_hard', send_id => s.id
  )
from jobsdb.sends as s
where
  s.job_id = current_setting('seed.job')::uuid
  and s.contact_key = 'amc-q4-followup/olga.petrova';

-- 1 day 10 hours later, a person: comes back to the last ones and approves them
select
  r.card_id,
  r.outcome
from (
  select
    array_agg(q.card_id) as cards,
    array_agg(q.content_hash) as shown
  from public.review_queue as q
  where q.job_id = current_setting('seed.job')::uuid
) as q
cross join lateral public.review_cards(q.cards, q.shown, 'approve') as r;

-- 30 minutes later, an agent: sends them
-- does: send

-- 3 minutes later, an agent: has sent them
-- does: settle

-- 1 hour later, an agent: hears from the provider
-- does: report

-- 20 hours later, an agent: sees who has read it, and who answers
select
  public.record_send_event(
    'sample', concat_ws('-', left(s.idempotency_key, 24), e.event), e.event, send_id => s.id
  )
from (
  values
  ('amelia.stone', 'open_human'),
  ('ben.okafor', 'open_machine'),
  ('carla.nunez', 'open_human'),
  ('carla.nunez', 'reply'),
  ('dev.patel', 'open_human'),
  ('grace.kim', 'click'),
  ('sam.turner', 'open_machine'),
  ('tara.singh', 'auto_reply'),
  ('vera.lange', 'reply'),
  ('yara.haddad', 'open_human')
) as e (name, event)
inner join jobsdb.sends as s on s.contact_key = 'amc-q4-followup/' || e.name
where s.job_id = current_setting('seed.job')::uuid;

-- 1 day 6 hours later, an agent: gets one more answer
select
  public.record_send_event(
    'sample', left(s.idempotency_key, 24) || '-reply', 'reply', send_id => s.id
  )
from jobsdb.sends as s
where
  s.job_id = current_setting('seed.job')::uuid
  and s.contact_key = 'amc-q4-followup/paul.dubois';

-- 10 hours 30 minutes later, an agent: plans the second touch for those whose fourth day it is and
-- who neither bounced nor answered; who answered is called
select public.plan_next_batch(current_setting('seed.job')::uuid);

insert into public.job_tasks (job_id, batch, step, kind, input, depends_on)
values
(
  current_setting('seed.job')::uuid,
  1,
  5,
  'follow_up',
  '{"contact_id": "amc-q4-followup/carla.nunez", "notes": "asks for a call"}',
  '{}'
),
(
  current_setting('seed.job')::uuid,
  1,
  6,
  'follow_up',
  '{"contact_id": "amc-q4-followup/paul.dubois", "notes": "wants prices"}',
  '{}'
);

-- 5 minutes later, an agent: takes the drafts and a call
-- does: take_drafts
update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid and batch = 1 and step = 5;

-- 4 minutes later, an agent: has written ten, gives the other draft back and has called somebody
-- does: draft
select public.release_tasks(array[t.id], t.lease_token)
from public.job_tasks as t
where t.job_id = current_setting('seed.job')::uuid and t.batch = 1 and t.step = 3;

update public.job_tasks
set
  status = 'done',
  output = '{"result": "call on Thursday at ten"}'
where job_id = current_setting('seed.job')::uuid and batch = 1 and step = 5;

select public.record_usage(current_setting('seed.job')::uuid, 0.16, 12100, 2050);

-- 19 hours 10 minutes later, a person: has looked at some of them
select
  r.card_id,
  r.outcome
from (
  select
    array_agg(q.card_id) as cards,
    array_agg(q.content_hash) as shown
  from public.review_queue as q
  where
    q.job_id = current_setting('seed.job')::uuid
    and split_part(q.content ->> 'contact_id', '/', 2)
    in ('amelia.stone', 'ben.okafor', 'dev.patel')
) as q
cross join lateral public.review_cards(q.cards, q.shown, 'approve') as r;

-- 32 minutes later: this is how it stands
