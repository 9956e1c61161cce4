-- bundle 1
-- Jobs in order of id, though nobody is waited for.
-- No sequential scans: see jobsdb.guard_task_insert.
create or replace function jobsdb.settle_tasks(
  task_ids bigint[],
  lease_token uuid,
  status text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
declare
  v_job record;
  v_step record;
begin
  for v_job in
    select t.job_id, t.org_id, count(*)::int as tasks, array_agg(t.id) as task_ids
    from public.job_tasks as t
    where t.id = any(settle_tasks.task_ids)
    group by t.job_id, t.org_id
    order by t.job_id
  loop
    -- What is left of a lease of several tasks goes when somebody looks for expired ones.
    delete from jobsdb.leases as l
    where l.job_id = v_job.job_id
      and l.token = settle_tasks.lease_token
      and l.task_ids <@ settle_tasks.task_ids;
    if settle_tasks.status in ('done', 'error') then
      insert into jobsdb.task_moves (job_id, org_id, task_ids, done, error)
      values (
        v_job.job_id,
        v_job.org_id,
        v_job.task_ids,
        case when settle_tasks.status = 'done' then 1 end,
        case when settle_tasks.status = 'error' then 1 end
      );
    end if;
    perform jobsdb.count_tasks(
      v_job.job_id,
      v_job.org_id,
      0,
      case when settle_tasks.status = 'done' then v_job.tasks else 0 end,
      case when settle_tasks.status = 'error' then v_job.tasks else 0 end
    );

    continue when settle_tasks.status <> 'done' or not exists (
      select from public.job_tasks as w
      where w.job_id = v_job.job_id and w.waits_on is not null
    );
    for v_step in
      select t.batch, t.step
      from public.job_tasks as t
      where t.id = any(settle_tasks.task_ids)
        and t.job_id = v_job.job_id
        and exists (
          select from public.job_tasks as w
          where w.job_id = t.job_id and w.batch = t.batch and w.waits_on = t.step
        )
      order by t.batch, t.step desc
    loop
      perform jobsdb.end_step(v_job.job_id, v_job.org_id, v_step.batch, v_step.step);
    end loop;
  end loop;
end;
$$;
revoke all on function jobsdb.settle_tasks(bigint[], uuid, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.settle_tasks(bigint[], uuid, text) is
'What follows when tasks of a lease have come to a status: the lease goes with its last task, jobs are counted, dependents become claimable.
Returns: nothing.
Errors:  none.
Source:  sql/functions/work/settle_tasks.sql';
