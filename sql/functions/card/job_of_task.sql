-- bundle 2
create or replace function jobsdb.job_of_task(
  task_id bigint,
  org_id uuid
)
returns uuid
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job_id uuid;
begin
  select t.job_id
  into v_job_id
  from public.job_tasks as t
  where t.id = job_of_task.task_id and t.org_id = job_of_task.org_id;

  if v_job_id is null or not jobsdb.may_see(job_of_task.org_id) then
    perform jobsdb.refuse_task(job_of_task.task_id);
  end if;
  return v_job_id;
end;
$$;
revoke all on function jobsdb.job_of_task(bigint, uuid)
from public, anon, authenticated, service_role;

comment on function jobsdb.job_of_task(bigint, uuid) is
'Finds the job of a task that belongs to an organisation the caller acts for.
Returns: the job''s id.
Errors:  JB020 not found or not yours.
Source:  sql/functions/card/job_of_task.sql';
