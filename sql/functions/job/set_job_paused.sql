-- bundle 1
create or replace function jobsdb.set_job_paused(
  job_id uuid,
  paused boolean
)
returns public.jobs
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job public.jobs := jobsdb.take_job(set_job_paused.job_id);
begin
  if v_job.status in ('succeeded', 'failed', 'cancelled') then
    perform jobsdb.refuse_finished_job(
      v_job.id,
      v_job.status,
      case
        when set_job_paused.paused then 'the job cannot be paused'
        else 'the job cannot be resumed'
      end
    );
  end if;
  if (v_job.paused_at is not null) = set_job_paused.paused then
    return v_job;
  end if;

  update public.jobs as j
  set
    paused_at = case when set_job_paused.paused then now() end,
    updated_at = now()
  where j.id = set_job_paused.job_id
  returning j.*
  into v_job;
  return v_job;
end;
$$;
revoke all on function jobsdb.set_job_paused(uuid, boolean)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.set_job_paused(uuid, boolean) to authenticated, service_role;

comment on function jobsdb.set_job_paused(uuid, boolean) is
'Body of public.pause_job and public.resume_job.
Source:  sql/functions/job/set_job_paused.sql';
