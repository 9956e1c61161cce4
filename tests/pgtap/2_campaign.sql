-- The statements of the contract, as a tenant and her agent would send them.
begin;
set local search_path to public, tap;
select plan(31);
select tap.ann();

insert into jobs (org_id, name, description, params)
values (auth.uid(), 'Q4 AMC Follow-up Campaign', 'by hand', jsonb_build_object(
  'target_group', 'AMC',
  'target_filter', jsonb_build_object('state', 'FL', 'active', true),
  'cadence', jsonb_build_object('day0', true, 'day4', true, 'day10', true),
  'templates', jsonb_build_object(
    'intro', 'Subject: Hello\nBody: Hello {{first_name}}', 'followup1', 'Subject: A\nBody: B',
    'followup2', 'Subject: C\nBody: D'
  ),
  'review_mode', true,
  'batch_size', 10
))
returning id as job
\gset
select results_eq(
  'select org_id, status::text from jobs',
  $$ values ('00000000-0000-4000-8000-00000000000a'::uuid, 'pending') $$,
  'a job is of its organisation, and pending'
);

prepare add_tasks as
insert into job_tasks (job_id, step, batch, kind, input) values
(:'job', 1, 0, 'draft_email', jsonb_build_object('target_type', 'contact_group',
  'contact_ids', array['uuid1', 'uuid2'], 'template', 'intro',
  'variables', jsonb_build_object('company_name', 'AMC'))),
(:'job', 2, 0, 'send_email', jsonb_build_object('wait_for_approval', true,
  'scheduled_for', now() + interval '1 hour'));
select lives_ok('add_tasks', 'tasks are added without an org_id');
select throws_ok('add_tasks', '23505', null, 'a step cannot be added twice');
select results_eq(
  'select step, kind::text, status::text, org_id = auth.uid() from job_tasks order by step',
  $$ values (1, 'draft_email', 'pending', true), (2, 'send_email', 'pending', true) $$,
  'they are pending, and of the organisation of the job'
);
select id as draft from job_tasks where step = 1 \gset

select results_eq(
  format('select status::text from transition_job_status(%L, ''running'')', :'job'),
  array['running'],
  'the job is started'
);
insert into kanban_cards (org_id, job_id, task_id, type, title, state, content)
values (auth.uid(), :'job', :draft, 'send_email', 'Email: Ann - Intro', 'in_review',
  jsonb_build_object('to', 'contact@example.com', 'subject', 'Hello', 'body', 'Hello Ann'))
returning id as card
\gset
select results_eq(
  format('select id from get_job_cards(%L)', :'job'), array[:'card'::uuid], 'its card is listed'
);
select results_eq(
  format(
    'select tasks_total, pending, cards_total, cards_in_review from get_job_progress(%L)', :'job'
  ),
  'values (2, 2, 1, 1)',
  'and counted'
);
select is(
  (
    select array[j.tasks_total, j.cards_total, j.cards_in_review]
    from jobs as j
    where j.id = :'job'
  ),
  array[2, 1, 1],
  'in the columns of the job as well'
);

update job_tasks
set status = 'error', error_message = 'API timeout', retry_count = retry_count + 1,
  finished_at = now()
where id = :draft;
select results_eq(
  format('select tasks_total, tasks_error from get_job_progress(%L)', :'job'), 'values (2, 1)',
  'an error is counted'
);
update job_tasks set status = 'pending', started_at = null, finished_at = null
where id = :draft and status = 'error';
select results_eq(
  format('select tasks_error, pending from get_job_progress(%L)', :'job'), 'values (0, 2)',
  'a retry takes it back'
);

select tap.agent();
select task_id as claimed, lease_token as lease
from (
  select (to_jsonb(c) ->> 'id')::bigint as task_id, to_jsonb(c) ->> 'lease_token' as lease_token
  from claim_tasks('pgtap', 1, '{draft_email}') as c
) as c
\gset
select is(:claimed::bigint, :draft::bigint, 'an agent claims the step');
select is(
  complete_tasks(array[:draft::bigint], :'lease', array['{"cards": 1}'::jsonb]), '{ok}'::text[],
  'and completes it'
);
select is(
  complete_tasks(array[:draft::bigint], gen_random_uuid(), array['{}'::jsonb]), '{revoked}'::text[],
  'somebody else''s lease counts for nothing'
);
select throws_ok(
  format('update kanban_cards set state = ''approved'' where id = %L', :'card'),
  'JB003',
  format('card "%s" cannot be approved by nobody', :'card'),
  'an agent cannot approve'
);

select tap.ann();
select lives_ok(
  format('update kanban_cards set state = ''approved'' where id = %L', :'card'), 'a person can'
);
select throws_ok(
  format('select transition_job_status(%L, ''succeeded'')', :'job'), 'JB040', null,
  'a job with an approved card and an open task has not succeeded'
);
update kanban_cards set content = content || '{"subject": "Changed"}' where id = :'card';
select is(
  (select k.state from kanban_cards as k where k.id = :'card'), 'in_review',
  'what is changed after the approval goes back to review'
);
select results_eq(
  format('select (pause_job(%L)).paused_at is not null', :'job'), array[true], 'it is paused'
);
select results_eq(
  format('select (resume_job(%L)).paused_at is null', :'job'), array[true], 'and goes on'
);

-- Everybody else.
select tap.bob();
select is_empty('select * from ' || t, format('another organisation sees no %s', t))
from unnest('{jobs,job_tasks,kanban_cards,job_metrics,recent_job_activity}'::text[]) as t;
select is_empty(
  format('select * from get_job_progress(%L)', :'job'), 'nor any progress, whatever id it names'
);
select throws_ok(
  format('select cancel_job(%L)', :'job'), 'JB020', null, 'it cannot cancel it'
);
select is_empty(
  format('update jobs set name = ''mine'' where id = %L returning id', :'job'), 'nor rename it'
);
select tap.stranger();
select throws_ok('select * from jobs', '42501', null, 'strangers see nothing');

-- The end.
select tap.ann();
select results_eq(
  format(
    'select status::text, tasks_done, tasks_skipped, finished_at is not null from cancel_job(%L)',
    :'job'
  ),
  $$ values ('cancelled', 1, 1, true) $$,
  'a cancelled job has no open task'
);
select throws_ok(
  format(
    'insert into job_tasks (job_id, step, kind, input) values (%L, 3, ''research'', %L)',
    :'job', '{"target_id": "x"}'
  ),
  'JB040', null,
  'and gets none'
);
select throws_ok(
  format('select transition_job_status(%L, ''running'')', :'job'), 'JB001', null, 'it is final'
);

select * from finish();
rollback;
