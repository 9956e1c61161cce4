-- 5050 Tenants do not see each other.
-- so: one customer reads or changes the campaigns of another
select jobsdb_proof.act_as('a');
select * from jobsdb_proof.keeps('job', 'tenant a has a job', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select * from jobsdb_proof.keeps('task', 'and a task', $$
  insert into public.job_tasks (job_id, step, kind) values ({job}, 1, 'research') returning id $$);
select *
from
  jobsdb_proof.does('which he starts', $$ select public.transition_job_status({job}, 'running') $$);
select * from jobsdb_proof.does('he has a contact', $$
  select public.upsert_contacts('[{"contact_key": "proof", "email": "a@x.example"}]') $$);

-- A card waits for him and an e-mail is approved, unless a host's own table does not take them.
with cards (name, assertion, statement) as (
  select
    c.name,
    c.assertion,
    'insert into public.kanban_cards (org_id, job_id, type, title, state, content)'
    || ' values ({a}, {job}, ''send_email'', ''proof'', ''in_review'', ''{"to": "a@x.example"}'')'
    || ' returning id'
  from (values ('card', 'a card waits for him'), ('mail', 'and another one')) as c (name, assertion)
)

select p.*
from cards as c
cross join lateral jobsdb_proof.outcome(c.statement) as o (got)
cross join lateral jobsdb_proof.keeps(c.name, c.assertion, c.statement) as p
where o.got = 'ok' or o.got like 'JB%';
select p.*
from
  jobsdb_proof.does('which he approves', $$
    update public.kanban_cards set state = 'approved' where id = {mail} $$) as p
where current_setting('jobsdb_proof.mail', true) <> '';
select p.*
from
  jobsdb_proof.keeps('send', 'so its e-mail is queued', $$
    select public.export_contact({a}, 'a@x.example') #>> '{sends,0,id}' $$) as p
where current_setting('jobsdb_proof.mail', true) <> '';
select p.*
from
  jobsdb_proof.gives(
    'tenant a sees his row of public.review_queue',
    'true',
    'select count(*) = 1 from public.review_queue'
  ) as p
where current_setting('jobsdb_proof.card', true) <> '';
select *
from
  jobsdb_proof.gives(
    'tenant a sees his contact',
    'a@x.example',
    'select public.export_contact({a}, ''proof'') #>> ''{contact,email}'''
  );

select p.*
from
  (
    values ('public.jobs'),
    ('public.job_tasks'),
    ('public.job_metrics_live'),
    ('public.recent_job_activity')
  ) as r (name)
cross join lateral jobsdb_proof.gives(
  format('tenant a sees his row of %s', r.name),
  'true',
  format('select count(*) > 0 from %s', r.name)
) as p;

-- Tenant b owns nothing: every table and view is empty to him. A host's own tables follow the
-- host's policies.
select jobsdb_proof.act_as('b');
select p.*
from pg_catalog.pg_class as c
cross join
  lateral jobsdb_proof.gives(
    format('tenant b sees nothing of %s', c.oid::regclass),
    '0',
    format('select count(*) from %s', c.oid::regclass)
  ) as p
where
  c.oid in (
    'public.jobs'::regclass,
    'public.job_tasks'::regclass,
    'public.job_metrics'::regclass,
    'public.job_metrics_live'::regclass,
    'public.job_performance_summary'::regclass,
    'public.recent_job_activity'::regclass,
    'public.review_queue'::regclass
  )
  or (
    c.oid in ('public.kanban_cards'::regclass, 'public.agent_runs'::regclass)
    and obj_description(c.oid, 'pg_class') like '%Made by jobsdb%'
  )
order by c.relname;

select p.*
from (
  values
  ('transition_job_status', 'JB020', 'select public.transition_job_status({job}, ''cancelled'')'),
  ('cancel_job', 'JB020', 'select public.cancel_job({job})'),
  ('pause_job', 'JB020', 'select public.pause_job({job})'),
  ('resume_job', 'JB020', 'select public.resume_job({job})'),
  ('get_job_cards', 'no row', 'select * from public.get_job_cards({job})'),
  ('get_job_progress', 'no row', 'select * from public.get_job_progress({job})'),
  ('get_job_metrics_for_org', 'no row', 'select * from public.get_job_metrics_for_org({a})'),
  ('refresh_job_metrics', '42501', 'select public.refresh_job_metrics()'),
  ('claim_tasks', '42501', 'select public.claim_tasks(''b'')'),
  ('complete_tasks', '42501', 'select public.complete_tasks(array[{task}::bigint], {b})'),
  (
    'complete_and_claim',
    '42501',
    'select public.complete_and_claim(array[{task}::bigint], {b}, null, ''b'')'
  ),
  ('heartbeat_tasks', '42501', 'select public.heartbeat_tasks(array[{task}::bigint], {b})'),
  ('fail_tasks', '42501', 'select public.fail_tasks(array[{task}::bigint], {b})'),
  ('release_tasks', '42501', 'select public.release_tasks(array[{task}::bigint], {b})'),
  ('assert_lease', '42501', 'select public.assert_lease({task}, {b})'),
  ('retry_job', '42501', 'select public.retry_job({job})'),
  ('tick', '42501', 'select public.tick()'),
  ('preview_job', 'JB020', 'select public.preview_job({job})'),
  ('dry_run_job', 'JB020', 'select public.dry_run_job({job})'),
  ('plan_next_batch', 'JB020', 'select public.plan_next_batch({job})'),
  ('job_blockers', 'JB020', 'select public.job_blockers({job})'),
  ('settle_job', 'JB020', 'select public.settle_job({job})'),
  ('record_usage', '42501', 'select public.record_usage({job})'),
  ('draft_cards', '42501', 'select public.draft_cards({task}, {b})'),
  ('claim_planning', '42501', 'select public.claim_planning(''b'', {a})'),
  ('claim_sends', '42501', 'select public.claim_sends(''b'', 1, {a})')
) as f (name, expected, statement)
cross join lateral jobsdb_proof.ends(
  format('tenant b calls %s for a job of a', f.name), f.expected, f.statement
) as p;

-- Cards, e-mails, contacts and the organisation itself; a host's own table may refuse b before.
select p.*
from (
  values
  (
    'create_job',
    'JB020',
    'select public.create_job(jsonb_build_object(''name'', ''proof'', ''org_id'', {a}))'
  ),
  ('upsert_contacts', 'JB020', 'select public.upsert_contacts(''[]'', {a})'),
  ('erase_contact', 'JB020', 'select public.erase_contact({a}, ''proof'')'),
  (
    'export_contact',
    'no row',
    'select 1 where public.export_contact({a}, ''proof'') is not null'
  ),
  (
    'review_card',
    'no row|42501',
    'select 1 where public.review_card(coalesce({card}, ''x''), ''approve'') <> ''not_found'''
  ),
  (
    'review_cards',
    'no row|42501',
    'select 1 from'
    || ' public.review_cards(array[coalesce({card}, ''x'')], array[''x''], ''approve'') as r'
    || ' where r.outcome <> ''not_found'''
  ),
  (
    'resolve_unknown',
    'JB020',
    'select public.resolve_unknown(nullif({send}, '''')::bigint, ''cancel'')'
  ),
  ('begin_send', '42501', 'select public.begin_send(nullif({send}, '''')::bigint, {b})'),
  (
    'settle_send',
    '42501',
    'select public.settle_send(nullif({send}, '''')::bigint, {b}, ''sent'')'
  ),
  (
    'record_send_event',
    '42501',
    'select public.record_send_event(''x'', ''1'', ''reply'', null, nullif({send}, '''')::bigint)'
  )
) as f (name, expected, statement)
cross join lateral jobsdb_proof.ends(
  format('tenant b calls %s for what is a''s', f.name), f.expected, f.statement
) as p;

-- These read nobody's rows.
select p.*
from (
  values
  ('validate_job_params', 'select public.validate_job_params(''[]'')'),
  ('explain_job_params', 'select public.explain_job_params(''{"cadence": {"day0": true}}'')'),
  ('render_template', 'select public.render_template(''"Subject: x\nBody: y"'')')
) as f (name, statement)
cross join
  lateral jobsdb_proof.ends(format('tenant b calls %s', f.name), 'ok', f.statement) as p;

-- The same answer for a job that does not exist.
select * from jobsdb_proof.ends('an unknown job looks like a foreign one', 'JB020', $$
  select public.cancel_job(gen_random_uuid()) $$);

select p.*
from (
  values
  ('updates a''s job', 'no row', 'update public.jobs set name = ''b was here'' where id = {job}'),
  (
    'updates a''s task', 'no row', 'update public.job_tasks set status = ''done'' where id = {task}'
  ),
  (
    'creates a job for a',
    '42501',
    'insert into public.jobs (org_id, name) values ({a}, ''b was here'')'
  ),
  (
    'plans a task into a''s job', 'JB020',
    'insert into public.job_tasks (job_id, step, kind) values ({job}, 2, ''research'')'
  ),
  (
    'says that it is his', 'JB020',
    'insert into public.job_tasks (job_id, org_id, step, kind) values ({job}, {b}, 2, ''research'')'
  ),
  (
    'and that it is a''s', 'JB020',
    'insert into public.job_tasks (job_id, org_id, step, kind) values ({job}, {a}, 2, ''research'')'
  )
) as s (what, expected, statement)
cross join lateral jobsdb_proof.ends('tenant b ' || s.what, s.expected, s.statement) as p;

-- A card of b in a's review queue; a host's own table may refuse it before we do.
select p.*
from (
  values
  (
    'puts a card into a''s job',
    'insert into public.kanban_cards (org_id, job_id, type, title, state, content)'
    || ' values ({b}, {job}, ''send_email'', ''proof'', ''in_review'', ''{}'')'
  ),
  (
    'puts a card onto a''s task',
    'insert into public.kanban_cards (org_id, task_id, type, title, state, content)'
    || ' values ({b}, {task}, ''send_email'', ''proof'', ''in_review'', ''{}'')'
  ),
  ('records a run of a''s job', 'insert into public.agent_runs (job_id) values ({job})')
) as s (what, statement)
cross join
  lateral jobsdb_proof.ends(
    'tenant b ' || s.what, 'JB020|42501|23502|23503|23514|42703', s.statement
  ) as p;
