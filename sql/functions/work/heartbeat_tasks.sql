-- bundle 1
-- The tasks' own rows say until when they are held; the lease's row, when to look. Whoever has that
-- is just looking, and is not waited for.
create or replace function public.heartbeat_tasks(
  task_ids bigint[],
  lease_token uuid,
  lease interval default '1 minute'
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
  perform jobsdb.check_task_ids(heartbeat_tasks.task_ids);
  perform jobsdb.refuse_claim('worker', 1, null, heartbeat_tasks.lease);
  v_held := jobsdb.take_held_tasks(heartbeat_tasks.task_ids, heartbeat_tasks.lease_token);

  update public.job_tasks as t
  set
    lease_expires_at = clock_timestamp() + heartbeat_tasks.lease,
    rev = t.rev + 1
  where t.id = any(v_held);

  update jobsdb.leases as l
  set look_at = (
    select min(t.lease_expires_at)
    from public.job_tasks as t
    where t.id = any(l.task_ids) and t.status = 'running' and t.lease_token = l.token
  )
  where (l.job_id, l.token) in (
    select m.job_id, m.token
    from jobsdb.leases as m
    where m.job_id in (select t.job_id from public.job_tasks as t where t.id = any(v_held))
      and m.token = heartbeat_tasks.lease_token
    for no key update skip locked
  );

  return jobsdb.task_verdicts(heartbeat_tasks.task_ids, v_held);
end;
$$;
revoke all on function public.heartbeat_tasks(bigint[], uuid, interval)
from public, anon, authenticated, service_role;
grant execute on function public.heartbeat_tasks(bigint[], uuid, interval) to service_role;

comment on function public.heartbeat_tasks(bigint[], uuid, interval) is
'Keeps claimed tasks for one more lease from now, and tells the worker what has become of them. Service role only.
Units:   call it at a third of the lease; at most 10,000 tasks.
Returns: by position ok, paused (still held, but its job is paused), cancelled (stop, its job is finished), revoked (stop, somebody else has it or it was taken away) or not_found.
Errors:  JB011 bad list or lease; JB050 too many.
Source:  sql/functions/work/heartbeat_tasks.sql';
