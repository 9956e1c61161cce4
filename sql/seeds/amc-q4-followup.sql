-- An e-mail campaign of three touches, on day five.
-- organisation: A
--
-- Told in the statements that people and agents would send. "2 hours later, a person: …" begins a
-- moment: the loader makes all there is that much older, then runs what follows in that person's
-- name (an agent has none). seed.job and seed.org are the ids of this job and its organisation.

-- at first, a person: creates the campaign and plans its first batch, in chunks of batch_size
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
      'Body: Hello {{first_name}}, {{company_name}} has a place for you. May I show you?',
      'followup1', 'Subject: Still on your list, {{first_name}}?\n'
      'Body: Hello {{first_name}}, I wrote last week about {{company_name}}. Ten minutes?',
      'followup2', 'Subject: Closing the list\n'
      'Body: Hello {{first_name}}, this is my last note about {{company_name}}.'
    ),
    'review_mode', true,
    'batch_size', 10
  )
);

with chunks as (
  select
    (c.place - 1) / 10 as number,
    jsonb_agg(c.contact order by c.place) as contact_ids
  from
    unnest(string_to_array(
      'amelia.stone ben.okafor carla.nunez dev.patel elena.rossi felix.braun grace.kim '
      'hugo.silva iris.novak jonas.lind kara.boyd liam.walsh maya.cohen nils.berg olga.petrova '
      'paul.dubois quinn.harper rosa.marin sam.turner tara.singh umar.farouk vera.lange '
      'wade.foster ximena.ruiz yara.haddad',
      ' '
    )) with ordinality as c (contact, place)
  group by number
)

insert into public.job_tasks (job_id, batch, step, kind, input, depends_on)
select
  current_setting('seed.job')::uuid as job_id,
  0 as batch,
  2 * c.number + s.step as step,
  s.kind,
  s.input,
  s.depends_on
from chunks as c
cross join lateral (
  values
  (
    1,
    'draft_email',
    jsonb_build_object(
      'target_type', 'contact_group',
      'contact_ids', c.contact_ids,
      'template', 'intro',
      'variables', jsonb_build_object('company_name', 'AMC')
    ),
    array[]::int[]
  ),
  (
    2,
    'send_email',
    jsonb_build_object('wait_for_approval', true, 'scheduled_for', now() + interval '4 hours'),
    array[2 * c.number + 1]::int[]
  )
) as s (step, kind, input, depends_on);

-- 10 minutes later, a person: starts it
select public.transition_job_status(current_setting('seed.job')::uuid, 'running');

-- 1 minute later, an agent: takes the drafts
update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid and kind = 'draft_email';

-- 6 minutes later, an agent: has written an e-mail for every contact
insert into public.kanban_cards (org_id, job_id, task_id, type, title, state, content)
select
  t.org_id,
  t.job_id,
  t.id,
  'send_email' as type,
  format('Email: %s - Intro', initcap(replace(c.contact, '.', ' '))) as title,
  'in_review' as state,
  jsonb_build_object(
    'to', c.contact || '@example.com',
    'subject', split_part(split_part(e.mail, '\nBody: ', 1), 'Subject: ', 2),
    'body', split_part(e.mail, '\nBody: ', 2),
    'seed', 'amc-q4-followup'
  ) as content
from public.job_tasks as t
inner join public.jobs as j on t.job_id = j.id
cross join lateral jsonb_array_elements_text(t.input -> 'contact_ids') as c (contact)
cross join lateral initcap(split_part(c.contact, '.', 1)) as n (first_name)
cross join
  lateral replace(
    replace(j.params #>> '{templates,intro}', '{{first_name}}', n.first_name),
    '{{company_name}}',
    t.input #>> '{variables,company_name}'
  ) as e (mail)
where t.job_id = current_setting('seed.job')::uuid and t.status = 'running';

update public.job_tasks
set
  status = 'done',
  started_at = started_at + step * interval '40 seconds',
  output = jsonb_build_object('cards', jsonb_array_length(input -> 'contact_ids'))
where job_id = current_setting('seed.job')::uuid and status = 'running';

-- 3 hours later, a person: rejects one, approves one with a better subject, approves the others
update public.kanban_cards
set state = 'rejected'
where job_id = current_setting('seed.job')::uuid and title = 'Email: Hugo Silva - Intro';

update public.kanban_cards
set
  state = 'approved',
  content = jsonb_build_object(
    'to', content ->> 'to',
    'subject', 'Grace, shall we renew your AMC plan?',
    'body', content ->> 'body',
    'seed', 'amc-q4-followup'
  )
where job_id = current_setting('seed.job')::uuid and title = 'Email: Grace Kim - Intro';

update public.kanban_cards
set state = 'approved'
where job_id = current_setting('seed.job')::uuid and state = 'in_review';

-- 50 minutes later, an agent: takes the sends
update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid and kind = 'send_email';

-- 3 minutes later, an agent: has sent what was approved; one address does not exist
update public.kanban_cards
set state = 'done'
where job_id = current_setting('seed.job')::uuid and state = 'approved';

update public.job_tasks
set
  status = 'done',
  output = case step
    when 4 then jsonb_build_object('bounced', array['olga.petrova'])
    else '{}'
  end
where job_id = current_setting('seed.job')::uuid and status = 'running';

-- 4 days later, an agent: plans the second touch for everybody who got the first one and
-- neither bounced nor answered; who answered is called
with answered (contact, said) as (
  values
  ('carla.nunez', 'asks for a call'),
  ('paul.dubois', 'wants prices'),
  ('tara.singh', 'is out until Friday')
),

due as (
  select
    c.task_id,
    jsonb_agg(s.contact order by s.contact) as contact_ids
  from public.kanban_cards as c
  cross join lateral split_part(c.content ->> 'to', '@', 1) as s (contact)
  where
    c.job_id = current_setting('seed.job')::uuid
    and c.state = 'done'
    and not exists (select from answered as a where a.contact = s.contact)
    and not exists (
      select from public.job_tasks as b
      where b.job_id = c.job_id and b.output -> 'bounced' ? s.contact
    )
  group by c.task_id
)

insert into public.job_tasks (job_id, batch, step, kind, input, depends_on)
select
  t.job_id,
  1 as batch,
  t.step,
  t.kind,
  t.input || case t.kind
    when 'draft_email'
      then jsonb_build_object('template', 'followup1', 'contact_ids', d.contact_ids)
    else jsonb_build_object('scheduled_for', now() + interval '22 hours')
  end as input,
  t.depends_on
from public.job_tasks as t
left join due as d on t.id = d.task_id
where t.job_id = current_setting('seed.job')::uuid and t.batch = 0
union all
select
  current_setting('seed.job')::uuid as job_id,
  1 as batch,
  6 + row_number() over (order by a.contact) as step,
  'follow_up' as kind,
  jsonb_build_object('contact_id', a.contact, 'notes', a.said) as input,
  '{}' as depends_on
from answered as a;

-- 5 minutes later, an agent: takes the first draft and a call
update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid and batch = 1 and step in (1, 7);

-- 4 minutes later, an agent: has written the first drafts of the second touch and called somebody
insert into public.kanban_cards (org_id, job_id, task_id, type, title, state, content)
select
  t.org_id,
  t.job_id,
  t.id,
  'send_email' as type,
  format('Email: %s - Followup1', initcap(replace(c.contact, '.', ' '))) as title,
  'in_review' as state,
  jsonb_build_object(
    'to', c.contact || '@example.com',
    'subject', format('Still on your list, %s?', n.first_name),
    'body', format('Hello %s, I wrote last week about AMC. Ten minutes?', n.first_name),
    'seed', 'amc-q4-followup'
  ) as content
from public.job_tasks as t
cross join lateral jsonb_array_elements_text(t.input -> 'contact_ids') as c (contact)
cross join lateral initcap(split_part(c.contact, '.', 1)) as n (first_name)
where t.job_id = current_setting('seed.job')::uuid and t.status = 'running';

update public.job_tasks
set
  status = 'done',
  output = case kind
    when 'follow_up' then jsonb_build_object('result', 'call on Thursday at ten')
    else jsonb_build_object('cards', jsonb_array_length(input -> 'contact_ids'))
  end
where job_id = current_setting('seed.job')::uuid and status = 'running';

-- 19 hours 10 minutes later, a person: has looked at some of them
update public.kanban_cards
set state = 'approved'
where
  job_id = current_setting('seed.job')::uuid
  and title in (
    'Email: Amelia Stone - Followup1',
    'Email: Ben Okafor - Followup1',
    'Email: Dev Patel - Followup1'
  );

-- 30 minutes later, an agent: takes the second draft
update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid and batch = 1 and step = 3;

-- 2 minutes later: this is how it stands
