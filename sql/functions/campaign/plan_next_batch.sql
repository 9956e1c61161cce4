-- bundle 4
create or replace function jobsdb.plan_next_batch(
  job_id uuid
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  perform jobsdb.see_job(plan_next_batch.job_id);
  return jobsdb.take_plan(plan_next_batch.job_id);
end;
$$;
revoke all on function jobsdb.plan_next_batch(uuid)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.plan_next_batch(uuid) to authenticated, service_role;

comment on function jobsdb.plan_next_batch(uuid) is
'Body of public.plan_next_batch.
Source:  sql/functions/campaign/plan_next_batch.sql';

create or replace function public.plan_next_batch(
  job_id uuid
)
returns int
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select jobsdb.plan_next_batch(plan_next_batch.job_id);
end;
revoke all on function public.plan_next_batch(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.plan_next_batch(uuid) to authenticated, service_role;

comment on function public.plan_next_batch(uuid) is
'Plans the next touch of every contact of a job that is due, as tasks of one new batch. Called again it plans nobody twice.
Returns: number of tasks; 0 when nobody is due, the job is paused, not started (after batch 0) or has no audience.
Errors:  JB020 not found or not yours; JB040 the job is finished.
Source:  sql/functions/campaign/plan_next_batch.sql';
