-- bundle 1
create or replace function public.retry_job(
  job_id uuid
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job record;
  v_task record;
  v_wait int;
  v_retried int := 0;
begin
  -- Work comes to life again: whoever is just closing the job is waited for.
  select j.org_id, j.status
  into v_job
  from public.jobs as j
  where j.id = retry_job.job_id and jobsdb.may_see(j.org_id)
  for key share;
  if not found then
    perform jobsdb.refuse_job(retry_job.job_id);
  elsif v_job.status in ('succeeded', 'failed', 'cancelled') then
    perform jobsdb.refuse_finished_job(
      retry_job.job_id, v_job.status, 'its tasks cannot be tried again'
    );
  end if;

  for v_task in
    select t.id, t.batch, t.step, t.depends_on, t.scheduled_for, t.priority
    from public.job_tasks as t
    where t.job_id = retry_job.job_id and t.org_id = v_job.org_id and t.status = 'error'
    order by t.id
    for no key update skip locked
  loop
    v_wait := jobsdb.next_wait(
      retry_job.job_id, v_job.org_id, v_task.batch, v_task.step, v_task.depends_on, v_task.id
    );
    update public.job_tasks as t
    set
      status = 'pending',
      retry_count = 0,
      started_at = null,
      finished_at = null,
      waits_on = v_wait,
      waits_until = case
        when v_wait is null and v_task.scheduled_for > now() then v_task.scheduled_for
      end,
      pos = case
        when v_wait is null and coalesce(v_task.scheduled_for <= now(), true)
          then jobsdb.next_pos(t.job_id, t.kind, v_task.priority)
      end,
      rev = t.rev + 1
    where t.id = v_task.id;
    v_retried := v_retried + 1;
  end loop;
  perform jobsdb.count_tasks(retry_job.job_id, v_job.org_id, 0, 0, -v_retried);
  return v_retried;
end;
$$;
revoke all on function public.retry_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.retry_job(uuid) to service_role;

comment on function public.retry_job(uuid) is
'Makes all tasks of a job that ended in error pending again, with all their retries. Service role only.
Returns: number of tasks; those that somebody is just changing are left out.
Errors:  JB020 job not found; JB040 the job is finished.
Source:  sql/functions/work/retry_job.sql';
