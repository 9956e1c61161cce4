-- bundle 1
create or replace function jobsdb.refreeze_job(
  job_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  insert into jobsdb.unfrozen_jobs (job_id, org_id)
  select j.id, j.org_id
  from public.jobs as j
  where j.id = refreeze_job.job_id and j.status in ('succeeded', 'failed', 'cancelled');
end;
$$;
revoke all on function jobsdb.refreeze_job(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.refreeze_job(uuid) is
'Notes that the metrics of a job have changed; only those of a finished one are frozen, and have to be computed again.
Returns: nothing.
Errors:  none.
Source:  sql/functions/job/refreeze_job.sql';
