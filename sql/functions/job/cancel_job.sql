-- bundle 1
create or replace function public.cancel_job(
  job_id uuid
)
returns public.jobs
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select j from jobsdb.transition_job_status(cancel_job.job_id, 'cancelled') as j;
end;
revoke all on function public.cancel_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cancel_job(uuid) to authenticated, service_role;

comment on function public.cancel_job(uuid) is
'Cancels a pending or running job. Its open tasks count as skipped at once; up to 1,000 rows are marked in the call, the rest by jobsdb.finish_closed_jobs. A completion in flight still counts as done.
Returns: the job after the move.
Errors:  JB001 already succeeded or failed; JB020 not found or not yours.
Source:  sql/functions/job/cancel_job.sql';
