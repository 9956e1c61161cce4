-- bundle 1
-- The pause before a retry doubles with each one and is spread at random, so that what failed
-- together does not come back together.
create or replace function public.fail_tasks(
  task_ids bigint[],
  lease_token uuid,
  errors text[] default null,
  retry boolean default true
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
  v_given_up bigint[];
begin
  perform jobsdb.check_task_ids(
    fail_tasks.task_ids,
    case
      when array_ndims(fail_tasks.errors) > 1 then -1
      else cardinality(fail_tasks.errors)
    end
  );
  v_held := jobsdb.take_held_tasks(fail_tasks.task_ids, fail_tasks.lease_token);

  with failed as (
    update public.job_tasks as t
    set
      status = case when f.again then 'pending' else 'error' end,
      waits_until = case
        when f.again
          then clock_timestamp()
            + least(k.backoff_limit, k.backoff * 2 ^ greatest(0, least(t.retry_count, 30)))
            * (0.5 + random() / 2)
      end,
      retry_count = t.retry_count + f.again::int,
      started_at = case when not f.again then t.started_at end,
      finished_at = case when not f.again then now() end,
      error_message = left(
        fail_tasks.errors[array_position(fail_tasks.task_ids, t.id)], 10000
      ),
      lease_expires_at = null,
      lease_token = null,
      locked_by = null,
      rev = t.rev + 1
    from public.job_tasks as o
    inner join jobsdb.task_kinds as k on k.kind = o.kind
    cross join lateral (
      select coalesce(fail_tasks.retry, true)
        and o.retry_count < coalesce(o.max_retries, k.max_retries) as again
    ) as f
    where o.id = any(v_held) and t.id = o.id and t.org_id = o.org_id
    returning t.id, t.job_id, t.org_id, t.status
  ),
  again as (
    insert into jobsdb.task_moves (job_id, org_id, retries)
    select f.job_id, f.org_id, count(*)
    from failed as f
    where f.status = 'pending'
    group by f.job_id, f.org_id
  )
  select array_agg(f.id) filter (where f.status = 'error')
  into v_given_up
  from failed as f;

  perform jobsdb.settle_tasks(v_given_up, fail_tasks.lease_token, 'error');
  perform jobsdb.settle_tasks(v_held, fail_tasks.lease_token, 'pending');
  return jobsdb.task_verdicts(fail_tasks.task_ids, v_held);
end;
$$;
revoke all on function public.fail_tasks(bigint[], uuid, text[], boolean)
from public, anon, authenticated, service_role;
grant execute on function public.fail_tasks(bigint[], uuid, text[], boolean) to service_role;

comment on function public.fail_tasks(bigint[], uuid, text[], boolean) is
'Reports claimed tasks as failed: each is tried again after a pause, up to its max_retries, and then ends in error. Service role only.
Units:   errors by position of task_ids, cut at 10,000 characters; retry false: error at once. Pauses: jobsdb.task_kinds. At most 10,000 tasks.
Returns: by position ok, paused, cancelled, revoked or not_found, as complete_tasks.
Errors:  JB011 bad list; JB050 too many.
Source:  sql/functions/work/fail_tasks.sql';
