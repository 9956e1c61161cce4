-- No e-mail; errors and retries; failed in the end.
-- organisation: B
--
-- No e-mail: portals, research, profiles, tasks, calls and a deal. How to read it: see
-- amc-q4-followup.sql.

-- at first, a person: creates the campaign and plans its first batch
insert into public.jobs (id, org_id, name, description, params)
values (
  current_setting('seed.job')::uuid,
  current_setting('seed.org')::uuid,
  'Portal Access Audit',
  'Who can still log in? Repair what has lapsed before the year ends.',
  jsonb_build_object(
    'seed', 'portal-access-audit',
    'target_group', jsonb_build_array('clinics', 'dental'),
    'portal', 'portal.example.com',
    'review_mode', true
  )
);

insert into public.job_tasks (job_id, step, kind, input, depends_on, max_retries)
select
  current_setting('seed.job')::uuid as job_id,
  c.step,
  'check_portal' as kind,
  jsonb_build_object('client_id', c.client) as input,
  '{}' as depends_on,
  2 as max_retries
from unnest(array[
  'harbor-clinic', 'lakeside-dental', 'mesa-imaging', 'north-eye', 'oak-street', 'pine-vet'
]) with ordinality as c (client, step);

insert into public.job_tasks (job_id, step, kind, input, depends_on)
values (
  current_setting('seed.job')::uuid,
  7,
  'research',
  jsonb_build_object('target_id', 'portal.example.com', 'research_type', 'outages'),
  '{}'
);

-- 30 minutes later, a person: starts it
select public.transition_job_status(current_setting('seed.job')::uuid, 'running');

-- 2 minutes later, an agent: tries every portal
update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid;

-- 4 minutes later, an agent: got into four; two do not answer
update public.job_tasks
set
  status = 'error',
  error_message = case step when 4 then 'portal answered 503' else 'login form was not found' end
where job_id = current_setting('seed.job')::uuid and step in (4, 6);

update public.job_tasks
set
  status = 'done',
  started_at = started_at + step * interval '21 seconds',
  output = case step
    when 7 then jsonb_build_object('outages', 1, 'last', 'north-eye')
    else jsonb_build_object('access', case when step in (2, 5) then 'lapsed' else 'open' end)
  end
where job_id = current_setting('seed.job')::uuid and status = 'running';

-- 1 hour later, an agent: tries the two again
update public.job_tasks
set
  status = 'pending',
  retry_count = retry_count + 1
where job_id = current_setting('seed.job')::uuid and status = 'error';

update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid and status = 'pending';

-- 3 minutes later, an agent: gets into one of them
update public.job_tasks
set
  status = 'done',
  error_message = null,
  output = jsonb_build_object('access', 'open')
where job_id = current_setting('seed.job')::uuid and step = 4;

update public.job_tasks
set
  status = 'error',
  error_message = 'login form was not found'
where job_id = current_setting('seed.job')::uuid and step = 6;

-- 20 minutes later, an agent: plans what the results ask for
insert into public.job_tasks (job_id, batch, step, kind, input, depends_on)
select
  current_setting('seed.job')::uuid as job_id,
  1 as batch,
  p.step,
  p.kind,
  jsonb_build_object('contact_id', p.contact) || p.input as input,
  p.depends_on
from (
  values
  (1, 'update_profile', 'lakeside-dental', '{"fields": {"portal": "lapsed"}}'::jsonb, '{}'::int[]),
  (2, 'update_profile', 'oak-street', '{"fields": {"portal": "lapsed"}}', '{}'),
  (3, 'create_task', 'oak-street', '{"type": "renew access", "due_date": "2025-12-25"}', '{}'),
  (4, 'schedule_call', 'pine-vet', '{"datetime": "2025-12-29T15:00:00Z", "duration": 30}', '{1,2}'),
  (5, 'create_deal', 'lakeside-dental', '{"amount": 1800, "stage": "renewal"}', '{1}')
) as p (step, kind, contact, input, depends_on);

-- 5 minutes later, an agent: proposes the profiles and the deal, and cannot create the task
update public.job_tasks
set status = 'running'
where job_id = current_setting('seed.job')::uuid and batch = 1 and step in (1, 2, 3, 5);

insert into public.kanban_cards (org_id, job_id, task_id, type, title, state, content)
select
  t.org_id,
  t.job_id,
  t.id,
  t.kind,
  format('%s: %s', initcap(replace(t.kind, '_', ' ')), t.input ->> 'contact_id') as title,
  'in_review' as state,
  t.input || jsonb_build_object('seed', 'portal-access-audit') as content
from public.job_tasks as t
where t.job_id = current_setting('seed.job')::uuid and t.kind in ('update_profile', 'create_deal');

-- 8 minutes later, an agent: reports
update public.job_tasks
set
  status = 'error',
  error_message = 'CRM: due date is a holiday'
where job_id = current_setting('seed.job')::uuid and kind = 'create_task';

update public.job_tasks
set
  status = 'done',
  output = jsonb_build_object('cards', 1)
where job_id = current_setting('seed.job')::uuid and status = 'running';

-- 2 hours later, a person: lets one profile be changed and refuses the deal
update public.kanban_cards
set state = 'approved'
where job_id = current_setting('seed.job')::uuid and title = 'Update Profile: lakeside-dental';

update public.kanban_cards
set state = 'rejected'
where job_id = current_setting('seed.job')::uuid and title = 'Create Deal: lakeside-dental';

-- 10 minutes later, an agent: has changed it, and tries the last portal once more
update public.kanban_cards
set state = 'done'
where job_id = current_setting('seed.job')::uuid and state = 'approved';

update public.job_tasks
set
  status = 'pending',
  retry_count = retry_count + 1
where job_id = current_setting('seed.job')::uuid and kind = 'check_portal' and status = 'error';

-- 4 minutes later, an agent: finds it closed for good
update public.job_tasks
set
  status = 'error',
  started_at = now() - interval '1 minute',
  error_message = 'login form was not found (3 attempts, given up)'
where job_id = current_setting('seed.job')::uuid and kind = 'check_portal' and status = 'pending';

-- 1 day later, a person: gives the campaign up; what was still open is skipped
select public.transition_job_status(current_setting('seed.job')::uuid, 'failed');

-- 6 days later: this is how it stands
