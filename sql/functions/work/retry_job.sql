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
  v_retried int;
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

  -- By plain SQL: the guard knows what each waits for, and counts it.
  update public.job_tasks as t
  set status = 'pending', retry_count = 0
  where t.id = any(array(
    select q.id
    from public.job_tasks as q
    where q.job_id = retry_job.job_id and q.org_id = v_job.org_id and q.status = 'error'
    order by q.id
    for no key update skip locked
  ));
  get diagnostics v_retried = row_count;
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
