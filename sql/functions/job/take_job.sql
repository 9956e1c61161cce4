-- bundle 1
-- The lock is taken before anything is decided, so of two callers one wins and the other sees it.
-- A job the caller may not see is not even waited for.
create or replace function jobsdb.take_job(
  job_id uuid
)
returns public.jobs
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job public.jobs;
begin
  if exists (
    select from public.jobs as j
    where j.id = take_job.job_id and jobsdb.may_see(j.org_id)
  ) then
    select j.*
    into v_job
    from public.jobs as j
    where j.id = take_job.job_id
    for update;
  end if;
  if v_job.id is null then
    perform jobsdb.refuse_job(take_job.job_id);
  end if;
  return v_job;
end;
$$;
revoke all on function jobsdb.take_job(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.take_job(uuid) is
'Locks a job of the caller''s for a decision about its status or pause.
Returns: the job as it is now.
Errors:  JB020 not found or not yours.
Source:  sql/functions/job/take_job.sql';
