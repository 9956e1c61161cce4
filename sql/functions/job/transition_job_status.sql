-- bundle 1
create or replace function jobsdb.transition_job_status(
  job_id uuid,
  new_status text
)
returns public.jobs
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job public.jobs := jobsdb.take_job(transition_job_status.job_id);
begin
  if coalesce(transition_job_status.new_status, 'null') not in (
    'pending', 'running', 'succeeded', 'failed', 'cancelled'
  ) then
    raise exception using
      errcode = 'JB001',
      message = format('"%s" is no job status', coalesce(transition_job_status.new_status, 'null')),
      detail = 'A job is pending, running, succeeded, failed or cancelled.',
      hint = 'Use one of these words.';
  end if;

  if v_job.status = transition_job_status.new_status then
    return v_job;
  end if;

  update public.jobs as j
  set status = transition_job_status.new_status
  where j.id = transition_job_status.job_id
  returning j.*
  into v_job;
  return v_job;
end;
$$;
revoke all on function jobsdb.transition_job_status(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.transition_job_status(uuid, text) to authenticated, service_role;

comment on function jobsdb.transition_job_status(uuid, text) is
'Body of public.transition_job_status.
Source:  sql/functions/job/transition_job_status.sql';

create or replace function public.transition_job_status(
  job_id uuid,
  new_status text
)
returns public.jobs
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select j
  from jobsdb.transition_job_status(
    transition_job_status.job_id, transition_job_status.new_status
  ) as j;
end;
revoke all on function public.transition_job_status(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function public.transition_job_status(uuid, text) to authenticated, service_role;

comment on function public.transition_job_status(uuid, text) is
'Moves a job to a new status; a move to its present one changes nothing.
Returns: the job after the move.
Errors:  JB001 no such status or illegal move; JB020 not found or not yours; JB030 succeeded above READ COMMITTED; JB040 succeeded while work is open.
Source:  sql/functions/job/transition_job_status.sql';
