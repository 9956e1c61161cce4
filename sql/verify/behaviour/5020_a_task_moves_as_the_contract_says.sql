-- 5020 A task moves as the contract says.
-- so: work is done twice, done in a finished job, or never
select jobsdb_proof.act_as('a');

select * from jobsdb_proof.keeps('job', 'a tenant creates a job', $$
  insert into public.jobs (name) values ('proof') returning id $$);
select *
from
  jobsdb_proof.does('and starts it', $$ select public.transition_job_status({job}, 'running') $$);

-- One task in every state; org_id is the job's without being given.
select p.*
from (
  values
  ('pending', 1, null),
  ('running', 2, 'running'),
  ('done', 3, 'done'),
  ('error', 4, 'error'),
  ('skipped', 5, 'skipped')
) as t (name, step, status)
cross join lateral (
  select k.*
  from
    jobsdb_proof.keeps(
      t.name,
      format('he plans step %s', t.step),
      format(
        'insert into public.job_tasks (job_id, step, kind, depends_on)'
        || ' values ({job}, %s, ''research'', ''{}'') returning id',
        t.step
      )
    ) as k
  union all
  select d.*
  from jobsdb_proof.does(
    format('which becomes %s', coalesce(t.status, 'nothing yet')),
    format(
      'update public.job_tasks set status = coalesce(%L, status) where id = {%s}', t.status, t.name
    )
  ) as d
) as p;

select * from jobsdb_proof.gives('times are stamped', 'true', $$
  select t.started_at is not null from public.job_tasks as t where t.id = {running} $$);
select * from jobsdb_proof.gives('and the organisation is the job''s', '5', $$
  select count(*) from public.job_tasks as t where t.job_id = {job} and t.org_id = {a} $$);

with states (status) as (
  values ('pending'), ('running'), ('done'), ('error'), ('skipped')
),

legal (old_status, new_status) as (
  values
  ('pending', 'running'),
  ('pending', 'done'),
  ('pending', 'error'),
  ('pending', 'skipped'),
  ('running', 'done'),
  ('running', 'error'),
  ('running', 'skipped'),
  ('running', 'pending'),
  ('error', 'pending'),
  ('error', 'skipped')
)

select p.*
from states as o
cross join states as n
left join legal as l on o.status = l.old_status and n.status = l.new_status
cross join lateral jobsdb_proof.ends(
  format('a task goes from %s to %s', o.status, n.status),
  case when l.old_status is not null or o.status = n.status then 'ok' else 'JB002' end,
  format('update public.job_tasks set status = %L where id = {%s}', n.status, o.status)
) as p;

select * from jobsdb_proof.ends('a kind is known', 'JB011', $$
  insert into public.job_tasks (job_id, step, kind) values ({job}, 9, 'no such kind') $$);
select * from jobsdb_proof.ends('a step stands once in a batch', '23505', $$
  insert into public.job_tasks (job_id, step, kind) values ({job}, 1, 'research') $$);
select * from jobsdb_proof.ends('the guide''s retry works', 'ok', $$
  update public.job_tasks
  set status = 'pending', started_at = null, finished_at = null
  where id = {error} and status = 'error' $$);

-- A finished job takes and revives no work.
select * from jobsdb_proof.does('the job is cancelled', 'select public.cancel_job({job})');
select * from jobsdb_proof.gives('its open tasks are skipped at once', '3', $$
  select tasks_skipped from public.get_job_progress({job}) $$);
select * from jobsdb_proof.ends('no task can be added', 'JB040', $$
  insert into public.job_tasks (job_id, step, kind) values ({job}, 9, 'research') $$);
select * from jobsdb_proof.ends('nor retried', 'JB040', $$
  update public.job_tasks set status = 'pending' where id = {error} $$);
