-- bundle 1
create or replace function public.release_tasks(
  task_ids bigint[],
  lease_token uuid
)
returns text[]
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set plan_cache_mode to force_generic_plan
as $$
declare
  v_held bigint[];
begin
  perform jobsdb.check_task_ids(release_tasks.task_ids);
  v_held := jobsdb.take_held_tasks(release_tasks.task_ids, release_tasks.lease_token);

  update public.job_tasks as t
  set
    status = 'pending',
    pos = jobsdb.next_pos(t.job_id, t.kind, t.priority),
    started_at = null,
    lease_expires_at = null,
    lease_token = null,
    locked_by = null,
    rev = t.rev + 1
  where t.id = any(v_held);

  perform jobsdb.settle_tasks(v_held, release_tasks.lease_token, 'pending');
  return jobsdb.task_verdicts(release_tasks.task_ids, v_held);
end;
$$;
revoke all on function public.release_tasks(bigint[], uuid)
from public, anon, authenticated, service_role;
grant execute on function public.release_tasks(bigint[], uuid) to service_role;

comment on function public.release_tasks(bigint[], uuid) is
'Gives claimed tasks back, to be claimed by anybody at once; it is no retry. Service role only.
Returns: by position ok, paused, cancelled, revoked or not_found, as complete_tasks.
Errors:  JB011 bad list; JB050 too many.
Source:  sql/functions/work/release_tasks.sql';
