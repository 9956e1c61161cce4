-- bundle 1
-- The lock keeps the task, so nobody can rescue it before the transaction ends.
create or replace function public.assert_lease(
  task_id bigint,
  lease_token uuid
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  perform
  from public.job_tasks as t
  where t.id = assert_lease.task_id
    and t.status = 'running'
    and t.lease_token = assert_lease.lease_token
    and exists (
      select from public.jobs as j
      where j.id = t.job_id and j.org_id = t.org_id and j.status in ('pending', 'running')
    )
  for share;
  if not found then
    raise exception using
      errcode = 'JB031',
      message = format(
        'task "%s" is not held with this lease', coalesce(assert_lease.task_id::text, 'null')
      ),
      detail = 'It was rescued, taken away by plain SQL, ended, or its job is finished.',
      hint = 'Drop the result: somebody else has the task now, or nobody needs it.';
  end if;
end;
$$;
revoke all on function public.assert_lease(bigint, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.assert_lease(bigint, uuid) to service_role;

comment on function public.assert_lease(bigint, uuid) is
'Fences a worker: call it first in a transaction that adds cards or tasks on behalf of a claimed task. Service role only.
Returns: nothing; the task stays held until the transaction ends.
Errors:  JB031 the task is not held with this lease.
Source:  sql/functions/work/assert_lease.sql';
