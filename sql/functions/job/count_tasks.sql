-- bundle 1
-- For workers and planners: whoever has the job's row is not waited for, the change becomes a
-- delta, which whoever next gets the row folds in.
create or replace function jobsdb.count_tasks(
  job_id uuid,
  org_id uuid,
  total int,
  done int,
  error int
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_has_deltas boolean;
begin
  if (count_tasks.total, count_tasks.done, count_tasks.error) = (0, 0, 0) then
    return false;
  end if;
  if current_setting('transaction_isolation') = 'read committed' then
    update public.jobs as j
    set
      tasks_total = j.tasks_total + count_tasks.total,
      tasks_done = j.tasks_done + count_tasks.done,
      tasks_error = j.tasks_error + count_tasks.error,
      updated_at = now()
    where j.ctid = (
      select l.ctid
      from public.jobs as l
      where l.id = count_tasks.job_id
        and l.org_id = count_tasks.org_id
        and l.status in ('pending', 'running')
      for no key update skip locked
    )
    returning exists (select from jobsdb.job_deltas as d where d.job_id = j.id)
    into v_has_deltas;
    if found then
      if v_has_deltas then
        perform jobsdb.fold_job(count_tasks.job_id);
      end if;
      return true;
    end if;
  end if;
  insert into jobsdb.job_deltas (job_id, org_id, tasks_total, tasks_done, tasks_error)
  values (
    count_tasks.job_id,
    count_tasks.org_id,
    count_tasks.total,
    count_tasks.done,
    count_tasks.error
  );
  return false;
end;
$$;
revoke all on function jobsdb.count_tasks(uuid, uuid, int, int, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.count_tasks(uuid, uuid, int, int, int) is
'Adds to the numbers of tasks a job has, has done and has in error, without waiting for anybody.
Returns: whether the numbers stand in the row of the job, which then is open and held; else they are a delta.
Errors:  none.
Source:  sql/functions/job/count_tasks.sql';
