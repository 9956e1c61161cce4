-- bundle 5
-- The end of a job is recomputed, never concluded from a counter: there is nothing open in any of
-- its rows.
create or replace function jobsdb.settle_job(
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
  v_job public.jobs := jobsdb.see_job(settle_job.job_id);
  v_sends record;
  v_bar numeric;
begin
  if v_job.status <> 'running' or v_job.paused_at is not null then
    return v_job;
  end if;

  -- Tasks and cards before the job, as everywhere.
  perform jobsdb.end_dropped_cards(v_job.id, v_job.org_id);
  perform jobsdb.end_send_tasks(v_job.id, v_job.org_id);
  -- When nothing else is open, nobody writes to whoever is still there.
  if not exists (
    select from jobsdb.due_contacts as d where d.job_id = v_job.id and d.org_id = v_job.org_id
  ) and not exists (
    select from jobsdb.blockers_of(v_job) as b where b.what <> 'contacts_active'
  ) then
    update jobsdb.job_contacts as c
    set state = 'stopped', reason = 'not_written', next_touch = null, updated_at = now()
    where c.job_id = v_job.id
      and c.org_id = v_job.org_id
      and c.state = 'active'
      and c.next_touch is not null
      and exists (
        select from jobsdb.planned_jobs as p
        where p.job_id = c.job_id and p.org_id = c.org_id and p.batches > 0
      );
  end if;
  if exists (select from jobsdb.blockers_of(v_job) as b) then
    select j.* into v_job from public.jobs as j where j.id = settle_job.job_id;
    return v_job;
  end if;

  v_job := jobsdb.take_job(settle_job.job_id);
  if v_job.status <> 'running' or exists (select from jobsdb.blockers_of(v_job) as b) then
    return v_job;
  end if;
  select
    count(*) filter (where s.state = 'sent') as sent,
    count(*) filter (where s.state in ('sent', 'failed')) as attempted
  into v_sends
  from jobsdb.sends as s
  where s.job_id = v_job.id and s.org_id = v_job.org_id;
  v_bar := coalesce((v_job.params ->> 'min_success_rate')::numeric, 0.5);

  return jobsdb.transition_job_status(v_job.id, case
    when v_sends.attempted > 0 and v_sends.sent < v_bar * v_sends.attempted then 'failed'
    when v_sends.attempted = 0 and exists (
      select from public.job_tasks as t
      where t.job_id = v_job.id and t.org_id = v_job.org_id and t.status = 'error'
    ) then 'failed'
    else 'succeeded'
  end);
end;
$$;
revoke all on function jobsdb.settle_job(uuid) from public, anon, authenticated, service_role;
grant execute on function jobsdb.settle_job(uuid) to authenticated, service_role;

comment on function jobsdb.settle_job(uuid) is
'Body of public.settle_job.
Source:  sql/functions/send/settle_job.sql';

create or replace function public.settle_job(
  job_id uuid
)
returns public.jobs
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select j from jobsdb.settle_job(settle_job.job_id) as j;
end;
revoke all on function public.settle_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.settle_job(uuid) to authenticated, service_role;

comment on function public.settle_job(uuid) is
'Ends the send tasks of a running job that have nothing left to do, and the job itself when nothing is open any more: failed when fewer than params.min_success_rate (0.5 when left away) of its e-mails went out, or when none was tried and a task is in error; else succeeded. tick() does it for campaigns.
Returns: the job; still running while job_blockers has rows.
Errors:  JB020 not found or not yours.
Source:  sql/functions/send/settle_job.sql';
