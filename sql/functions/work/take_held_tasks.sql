-- bundle 1
-- In order of id: an UPDATE would take them in the order of its plan, and could wait crosswise with
-- plain SQL.
create or replace function jobsdb.take_held_tasks(
  task_ids bigint[],
  lease_token uuid
)
returns bigint[]
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set plan_cache_mode to force_generic_plan
as $$
begin
  return array(
    select t.id
    from public.job_tasks as t
    where t.id = any(take_held_tasks.task_ids)
      and t.status = 'running'
      and t.lease_token = take_held_tasks.lease_token
      and exists (
        select from public.jobs as j
        where j.id = t.job_id and j.org_id = t.org_id and j.status in ('pending', 'running')
      )
    order by t.id
    for no key update of t
  );
end;
$$;
revoke all on function jobsdb.take_held_tasks(bigint[], uuid)
from public, anon, authenticated, service_role;

comment on function jobsdb.take_held_tasks(bigint[], uuid) is
'Locks those of some tasks that run under a lease, in jobs that are not finished.
Returns: their ids, in order.
Errors:  none.
Source:  sql/functions/work/take_held_tasks.sql';
