-- bundle 4
-- The job first, as everywhere: whoever closes or pauses it is waited for, and then obeyed.
create or replace function jobsdb.take_plan(
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
  v_job public.jobs;
  v_batch int;
  v_is_first boolean;
  v_tasks int;
begin
  select j.*
  into v_job
  from public.jobs as j
  where j.id = take_plan.job_id
  for key share;
  if v_job.status in ('succeeded', 'failed', 'cancelled') then
    perform jobsdb.refuse_finished_job(v_job.id, v_job.status, 'nothing more can be planned');
  end if;
  if v_job.paused_at is not null then
    return 0;
  end if;

  select p.batches
  into v_batch
  from jobsdb.planned_jobs as p
  where p.job_id = take_plan.job_id and p.org_id = v_job.org_id
  for no key update;
  if v_batch is null or (v_batch > 0 and v_job.status = 'pending') then
    return 0;  -- it has no audience, or has not begun
  end if;

  v_is_first := v_batch = 0;
  v_batch := greatest(
    v_batch, (select max(t.batch) + 1 from public.job_tasks as t where t.job_id = v_job.id)
  );
  v_tasks := jobsdb.plan_batch(v_job.id, v_batch, v_is_first);
  update jobsdb.planned_jobs as p
  set
    batches = case when v_tasks > 0 then v_batch + 1 else greatest(p.batches, 1) end,
    next_at = coalesce(
      (
        select min(d.due_at)
        from jobsdb.due_contacts as d
        where d.job_id = v_job.id and d.org_id = v_job.org_id
      ),
      now() + interval '1 minute'
    )
  where p.job_id = take_plan.job_id;
  return v_tasks;
end;
$$;
revoke all on function jobsdb.take_plan(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.take_plan(uuid) is
'Plans the next batch of a job whose caller has been checked.
Returns: number of tasks; 0 when nobody is due, the job is paused or has no audience.
Errors:  JB040 the job is finished.
Source:  sql/functions/campaign/take_plan.sql';
