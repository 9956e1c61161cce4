-- bundle 1
-- Rows are locked in order of id first, here and in its sisters: an UPDATE takes them in the
-- order of its plan, and could wait crosswise with plain SQL.
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
  v_ended bigint[];
  v_all_runnable boolean;
begin
  perform jobsdb.check_task_ids(
    complete_many.task_ids,
    case
      when array_ndims(complete_many.outputs) > 1 then -1
      else cardinality(complete_many.outputs)
    end
  );

  with ended as (
    update public.job_tasks as t
    set
      status = 'done',
      finished_at = now(),
      lease_expires_at = null,
      lease_token = null,
      locked_by = null,
      output = complete_many.outputs[array_position(complete_many.task_ids, t.id)],
      rev = t.rev + 1
    where t.id = any(array(
        select q.id
        from public.job_tasks as q
        where q.id = any(complete_many.task_ids)
          and q.status = 'running'
          and q.lease_token = complete_many.lease_token
        order by q.id
        for no key update
      ))
      and t.status = 'running'
      and t.lease_token = complete_many.lease_token
      and exists (
        select from public.jobs as j
        where j.id = t.job_id and j.org_id = t.org_id and j.status in ('pending', 'running')
      )
    returning t.id, t.job_id
  )
  select
    array_agg(e.id),
    bool_and(exists (select from jobsdb.runnable_jobs as r where r.job_id = e.job_id))
  into v_ended, v_all_runnable
  from ended as e;

  perform jobsdb.settle_tasks(v_ended, complete_many.lease_token, 'done');
  if v_all_runnable and cardinality(v_ended) = cardinality(complete_many.task_ids) then
    return array_fill('ok'::text, array[cardinality(v_ended)]);
  end if;
  return jobsdb.task_verdicts(complete_many.task_ids, v_ended);
end;
$$;
revoke all on function jobsdb.complete_many(bigint[], uuid, jsonb[])
from public, anon, authenticated, service_role;

comment on function jobsdb.complete_many(bigint[], uuid, jsonb[]) is
'Completes any number of tasks: what public.complete_and_claim does when it is not one, or not as usual.
Returns: verdicts by position.
Errors:  JB011 bad list; JB050 too many.
Source:  sql/functions/work/complete_many.sql';
