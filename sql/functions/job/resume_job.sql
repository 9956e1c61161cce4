-- bundle 1
create or replace function public.resume_job(
  job_id uuid
)
returns public.jobs
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select j from jobsdb.set_job_paused(resume_job.job_id, false) as j;
end;
revoke all on function public.resume_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.resume_job(uuid) to authenticated, service_role;

comment on function public.resume_job(uuid) is
'Resumes a paused job. Resuming a job that is not paused changes nothing.
Returns: the job.
Errors:  JB020 not found or not yours; JB040 the job is finished.
Source:  sql/functions/job/resume_job.sql';
