-- 5030 A card moves as the contract says.
-- so: an e-mail goes out that no person has approved, or another text than the approved one
--
-- A host's own kanban_cards may not take a card from an invented tenant; then this is not tried.
select jobsdb_proof.act_as('a');

select * from jobsdb_proof.keeps('job', 'a tenant creates a job in review mode', $$
  insert into public.jobs (name, params) values ('proof', '{"review_mode": true}') returning id $$);
select * from jobsdb_proof.keeps('free', 'and one that is not', $$
  insert into public.jobs (name, params) values ('proof', '{"review_mode": false}') returning id $$);
select * from jobsdb_proof.keeps('task', 'with a task', $$
  insert into public.job_tasks (job_id, step, kind) values ({job}, 1, 'draft_email') returning id $$);
select * from jobsdb_proof.supposes('in_review', 'a draft is a card in review', $$
  insert into public.kanban_cards (org_id, task_id, type, title, state, content)
  values ({a}, {task}, 'send_email', 'proof', 'in_review', '{"to": "a@example.com", "subject": "s", "body": "b"}')
  returning id $$);
select *
from
  jobsdb_proof.gives(
    'it is found by its job', '1', 'select count(*) from public.get_job_cards({job})'
  );

-- One card in every state.
select p.*
from (
  values
  ('approved', 1, 'approved'),
  ('rejected', 1, 'rejected'),
  ('done', 1, 'approved'),
  ('done', 2, 'done')
) as c (name, place, state)
cross join lateral (
  select k.*
  from
    jobsdb_proof.keeps(
      c.name,
      format('another card, to be %s', c.name),
      'insert into public.kanban_cards (org_id, job_id, type, title, state, content)'
      || ' values ({a}, {job}, ''send_email'', ''proof'', ''in_review'', ''{"to": "a@x.example"}'')'
      || ' returning id'
    ) as k
  where c.place = 1
  union all
  select d.*
  from jobsdb_proof.does(
    format('becomes %s', c.state),
    format('update public.kanban_cards set state = %L where id = {%s}', c.state, c.name)
  ) as d
) as p;

with states (status) as (
  values ('in_review'), ('approved'), ('rejected'), ('done')
),

legal (old_status, new_status) as (
  values
  ('in_review', 'approved'),
  ('in_review', 'rejected'),
  ('approved', 'in_review'),
  ('approved', 'rejected'),
  ('approved', 'done'),
  ('rejected', 'in_review')
)

select p.*
from states as o
cross join states as n
left join legal as l on o.status = l.old_status and n.status = l.new_status
cross join lateral jobsdb_proof.ends(
  format('a card goes from %s to %s', o.status, n.status),
  case when l.old_status is not null or o.status = n.status then 'ok' else 'JB003' end,
  format('update public.kanban_cards set state = %L where id = {%s}', n.status, o.status)
) as p;

select * from jobsdb_proof.ends('no card of a job in review mode is born approved', 'JB003', $$
  insert into public.kanban_cards (org_id, job_id, type, title, state, content)
  values ({a}, {job}, 'send_email', 'proof', 'approved', '{}') $$);
select * from jobsdb_proof.keeps('quick', 'a card of a job without review', $$
  insert into public.kanban_cards (org_id, job_id, type, title, state, content)
  values ({a}, {free}, 'send_email', 'proof', 'in_review', '{}') returning id $$);
select * from jobsdb_proof.ends('may be executed at once', 'ok', $$
  update public.kanban_cards set state = 'done' where id = {quick} $$);

select jobsdb_proof.act_as('agent');
-- Where a host's policies show agents no card, there is none to approve.
select * from jobsdb_proof.ends('an agent cannot approve', 'JB003|no row', $$
  update public.kanban_cards set state = 'approved' where id = {in_review} $$);
select * from jobsdb_proof.ends('nor switch review off', 'JB003', $$
  update public.jobs set params = '{"review_mode": false}' where id = {job} $$);

select jobsdb_proof.act_as('a');
select * from jobsdb_proof.does('a person can', $$
  update public.kanban_cards set state = 'approved' where id = {in_review} $$);
select * from jobsdb_proof.does('an edit afterwards is allowed', $$
  update public.kanban_cards set content = '{"to": "b@example.com"}' where id = {in_review} $$);
select * from jobsdb_proof.gives('but the card is back in review', 'in_review', $$
  select state from public.kanban_cards where id = {in_review} $$);

select jobsdb_proof.act_as('owner');
select * from jobsdb_proof.gives('both are written down', 'approved, in_review', $$
  select string_agg(r.decision, ', ' order by r.id)
  from jobsdb.card_reviews as r
  where r.card_id = {in_review} and r.job_id = {job} $$);
select * from jobsdb_proof.gives('with the person''s name', current_setting('jobsdb_proof.a'), $$
  select r.reviewer from jobsdb.card_reviews as r where r.card_id = {in_review} order by r.id limit 1 $$);
