-- bundle 1
create or replace function jobsdb.complete_many(
  task_ids bigint[],
  lease_token uuid,
  outputs jsonb[]
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
  perform jobsdb.check_task_ids(
    complete_many.task_ids,
    case
      when array_ndims(complete_many.outputs) > 1 then -1
      else cardinality(complete_many.outputs)
    end
  );
  v_held := jobsdb.take_held_tasks(complete_many.task_ids, complete_many.lease_token);

  update public.job_tasks as t
  set
    status = 'done',
    finished_at = now(),
    lease_expires_at = null,
    lease_token = null,
    locked_by = null,
    output = complete_many.outputs[array_position(complete_many.task_ids, t.id)],
    rev = t.rev + 1
  where t.id = any(v_held);

  perform jobsdb.settle_tasks(v_held, complete_many.lease_token, 'done');
  return jobsdb.task_verdicts(complete_many.task_ids, v_held);
end;
$$;
revoke all on function jobsdb.complete_many(bigint[], uuid, jsonb[])
from public, anon, authenticated, service_role;

comment on function jobsdb.complete_many(bigint[], uuid, jsonb[]) is
'Completes any number of tasks: what public.complete_and_claim does when it is not one, or not as usual.
Returns: verdicts by position.
Errors:  JB011 bad list; JB050 too many.
Source:  sql/functions/work/complete_many.sql';
