-- bundle 1
create or replace function public.pause_job(
  job_id uuid
)
returns public.jobs
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select j from jobsdb.set_job_paused(pause_job.job_id, true) as j;
end;
revoke all on function public.pause_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.pause_job(uuid) to authenticated, service_role;

comment on function public.pause_job(uuid) is
'Pauses a job: nothing of it can be claimed until resume_job; running tasks hear of it at their next call. Pausing a paused job changes nothing.
Returns: the job.
Errors:  JB020 not found or not yours; JB040 the job is finished.
Source:  sql/functions/job/pause_job.sql';
