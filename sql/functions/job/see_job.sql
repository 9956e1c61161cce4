-- bundle 1
create or replace function jobsdb.see_job(
  job_id uuid
)
returns public.jobs
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job public.jobs;
begin
  select j.*
  into v_job
  from public.jobs as j
  where j.id = see_job.job_id and jobsdb.may_see(j.org_id);
  if v_job.id is null then
    perform jobsdb.refuse_job(see_job.job_id);
  end if;
  return v_job;
end;
$$;
revoke all on function jobsdb.see_job(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.see_job(uuid) is
'Reads a job of the caller''s, without a lock: to decide about one, jobsdb.take_job.
Returns: the job.
Errors:  JB020 not found or not yours.
Source:  sql/functions/job/see_job.sql';
