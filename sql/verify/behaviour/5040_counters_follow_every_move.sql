-- 5040 Counters follow every move.
-- so: progress lies, and a job succeeds with work open or never
select jobsdb_proof.act_as('a');

select * from jobsdb_proof.keeps('job', 'a tenant creates a job', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select *
from jobsdb_proof.does('starts it', $$ select public.transition_job_status({job}, 'running') $$);
select * from jobsdb_proof.does('and plans six steps in one statement', $$
  insert into public.job_tasks (job_id, step, kind, depends_on)
  select {job}, s, 'research', '{}' from generate_series(1, 6) as s $$);
select * from jobsdb_proof.does('two become done in one statement', $$
  update public.job_tasks set status = 'done' where job_id = {job} and step <= 2 $$);
select * from jobsdb_proof.does('one runs', $$
  update public.job_tasks set status = 'running' where job_id = {job} and step = 3 $$);
select * from jobsdb_proof.does('one fails', $$
  update public.job_tasks set status = 'error', error_message = 'proof' where job_id = {job} and step = 4 $$);
select * from jobsdb_proof.does('one is skipped', $$
  update public.job_tasks set status = 'skipped' where job_id = {job} and step = 5 $$);

select * from jobsdb_proof.gives('all of it is counted', '(6,2,1,1,1,1)', $$
  select (p.tasks_total, p.tasks_done, p.tasks_error, p.tasks_skipped, p.pending, p.running)
  from public.get_job_progress({job}) as p $$);
select * from jobsdb_proof.gives('the live metrics agree', '(6,2,1,1,1,1)', $$
  select (m.tasks_total, m.tasks_completed, m.tasks_failed, m.tasks_skipped, m.tasks_pending, m.tasks_running)
  from public.job_metrics_live as m
  where m.job_id = {job} $$);
select jobsdb_proof.act_as('agent');
select *
from
  jobsdb_proof.does(
    'and a deleted task', 'delete from public.job_tasks where job_id = {job} and step = 2'
  );

select jobsdb_proof.act_as('a');
select * from jobsdb_proof.does('and a retry', $$
  update public.job_tasks set status = 'pending' where job_id = {job} and step = 4 $$);
select * from jobsdb_proof.gives('are counted too', '(5,1,0,1,2,1)', $$
  select (p.tasks_total, p.tasks_done, p.tasks_error, p.tasks_skipped, p.pending, p.running)
  from public.get_job_progress({job}) as p $$);

-- The last move waits to be folded; what would happen at commit happens now.
set constraints all immediate;
select * from jobsdb_proof.gives('the columns of jobs say the same', '(5,1,0,1)', $$
  select (j.tasks_total, j.tasks_done, j.tasks_error, j.tasks_skipped) from public.jobs as j where j.id = {job} $$);
