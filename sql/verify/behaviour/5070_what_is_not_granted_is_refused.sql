-- 5070 What is not granted is refused.
-- so: counters, leases or other people's rows are within reach of whoever can send SQL
select jobsdb_proof.act_as('a');
select * from jobsdb_proof.keeps('job', 'a tenant has a job', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select * from jobsdb_proof.keeps('task', 'and a task', $$
  insert into public.job_tasks (job_id, step, kind) values ({job}, 1, 'research') returning id $$);

select p.*
from (
  values
  ('counters', 'update public.jobs set tasks_done = 41 where id = {job}'),
  ('the guard''s own column', 'update public.job_tasks set rev = rev + 1 where id = {task}'),
  ('the place in the queue', 'update public.job_tasks set pos = 0 where id = {task}'),
  ('a lease', 'update public.job_tasks set lease_token = null where id = {task}'),
  ('a job, deleted', 'delete from public.jobs where id = {job}'),
  ('a task, deleted', 'delete from public.job_tasks where id = {task}'),
  ('an id of choice', 'insert into public.jobs (id, name) values (gen_random_uuid(), ''proof'')'),
  ('everything, emptied', 'truncate public.jobs cascade'),
  ('a table, locked', 'lock table public.jobs in exclusive mode'),
  ('a sequence', 'select nextval(''public.job_tasks_id_seq'')'),
  ('the private schema', 'select * from jobsdb.org_members'),
  ('a private name', 'select ''jobsdb.ledger''::regclass'),
  ('a private function, although granted', 'select jobsdb.measure_job({job})'),
  ('a private function', 'select jobsdb.add_org_member({a}, {b})'),
  ('the materialized view', 'select * from jobsdb.job_metrics_mv'),
  (
    'a trigger on our table',
    'create trigger t before update on public.jobs'
    || ' for each row execute function jobsdb.guard_job_update()'
  )
) as s (what, statement)
cross join
  lateral jobsdb_proof.ends('out of a tenant''s reach: ' || s.what, '42501', s.statement) as p;

-- An agent reaches everybody's rows, but writes no counters and takes no leases by hand.
select jobsdb_proof.act_as('agent');
select p.*
from (
  values
  ('counters', 'update public.jobs set tasks_done = 41 where id = {job}'),
  ('the guard''s own column', 'update public.job_tasks set rev = rev + 1 where id = {task}'),
  ('a lease', 'update public.job_tasks set lease_token = null where id = {task}'),
  ('the ledger', 'select * from jobsdb.ledger'),
  ('approvals, written by hand', 'delete from jobsdb.card_reviews'),
  ('everything, emptied', 'truncate public.jobs cascade')
) as s (what, statement)
cross join
  lateral jobsdb_proof.ends('out of an agent''s reach: ' || s.what, '42501', s.statement) as p;
select *
from jobsdb_proof.ends('an agent sees the job', 'ok', 'select 1 from public.jobs where id = {job}');
