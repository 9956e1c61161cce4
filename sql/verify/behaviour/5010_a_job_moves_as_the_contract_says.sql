-- 5010 A job moves as the contract says.
-- so: a campaign can be ended twice, restarted, or finished with work open
select jobsdb_proof.act_as('a');

select *
from
  jobsdb_proof.gives(
    'auth.uid() is who the token names', current_setting('jobsdb_proof.a'), 'select auth.uid()'
  );

select * from jobsdb_proof.keeps('pending', 'a tenant creates a job', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select *
from
  jobsdb_proof.gives(
    'it is his',
    current_setting('jobsdb_proof.a'),
    'select org_id from public.jobs where id = {pending}'
  );

-- One job in every state.
select * from jobsdb_proof.keeps('running', 'another one', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select *
from
  jobsdb_proof.does('is started', $$ select public.transition_job_status({running}, 'running') $$);

select * from jobsdb_proof.keeps('succeeded', 'another one', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select * from jobsdb_proof.does('is started in plain SQL', $$
  update public.jobs set status = 'running' where id = {succeeded} $$);
select *
from
  jobsdb_proof.does(
    'and succeeds', $$ select public.transition_job_status({succeeded}, 'succeeded') $$
  );

select * from jobsdb_proof.keeps('failed', 'another one', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select *
from
  jobsdb_proof.does('is started', $$ select public.transition_job_status({failed}, 'running') $$);
select *
from
  jobsdb_proof.does(
    'and fails', $$ update public.jobs set status = 'failed' where id = {failed} $$
  );

select * from jobsdb_proof.keeps('cancelled', 'another one', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select * from jobsdb_proof.does('is cancelled', 'select public.cancel_job({cancelled})');

-- From every state to every state, by function and in plain SQL.
with states (status) as (
  values ('pending'), ('running'), ('succeeded'), ('failed'), ('cancelled')
),

legal (old_status, new_status) as (
  values
  ('pending', 'running'),
  ('pending', 'cancelled'),
  ('running', 'succeeded'),
  ('running', 'failed'),
  ('running', 'cancelled')
)

select p.*
from states as o
cross join states as n
left join legal as l on o.status = l.old_status and n.status = l.new_status
cross join (
  values
  ('by function', 'select public.transition_job_status({%s}, %L)'),
  ('in plain SQL', 'update public.jobs set status = %2$L where id = {%1$s}')
) as w (way, statement)
cross join lateral jobsdb_proof.ends(
  format('a job goes from %s to %s %s', o.status, n.status, w.way),
  case when l.old_status is not null or o.status = n.status then 'ok' else 'JB001' end,
  format(w.statement, o.status, n.status)
) as p;

select * from jobsdb_proof.ends('a job is born pending', 'JB001|42501', $$
  insert into public.jobs (name, status) values ('proof', 'running') $$);
select *
from
  jobsdb_proof.ends('a job has a name', 'JB010', $$ insert into public.jobs (name) values (' ') $$);
select * from jobsdb_proof.ends('its params are an object', 'JB010', $$
  insert into public.jobs (name, params) values ('proof', '[]') $$);
select * from jobsdb_proof.ends('it keeps its organisation', 'JB001|42501', $$
  update public.jobs set org_id = {b} where id = {pending} $$);

select * from jobsdb_proof.does('a job pauses', 'select public.pause_job({running})');
select *
from
  jobsdb_proof.gives(
    'and says since when',
    'true',
    'select paused_at is not null from public.jobs where id = {running}'
  );
select * from jobsdb_proof.does('and goes on', 'select public.resume_job({running})');
select *
from jobsdb_proof.ends('a finished job cannot pause', 'JB040', 'select public.pause_job({failed})');

select * from jobsdb_proof.does('a task is added', $$
  insert into public.job_tasks (job_id, step, kind) values ({running}, 1, 'research') $$);
select * from jobsdb_proof.ends('a job does not succeed with work open', 'JB040', $$
  select public.transition_job_status({running}, 'succeeded') $$);
