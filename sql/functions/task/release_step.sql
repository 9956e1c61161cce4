-- bundle 1
-- A dependent that somebody holds is left; the caller keeps or writes a note. No sequential scans:
-- see jobsdb.guard_task_insert.
create or replace function jobsdb.release_step(
  job_id uuid,
  org_id uuid,
  batch int,
  step int
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
declare
  v_task record;
  v_wait int;
  v_released int := 0;
begin
  for v_task in
    select w.id, w.depends_on, w.scheduled_for, w.priority
    from public.job_tasks as w
    where w.job_id = release_step.job_id
      and w.batch = release_step.batch
      and w.waits_on = release_step.step
    order by w.id
    for no key update skip locked
  loop
    v_wait := jobsdb.next_wait(
      release_step.job_id,
      release_step.org_id,
      release_step.batch,
      release_step.step,
      v_task.depends_on,
      v_task.id
    );
    update public.job_tasks as t
    set
      waits_on = v_wait,
      waits_until = case
        when v_wait is null and v_task.scheduled_for > now() then v_task.scheduled_for
      end,
      pos = case
        when v_wait is null and coalesce(v_task.scheduled_for <= now(), true)
          then jobsdb.next_pos(t.job_id, t.kind, v_task.priority)
      end,
      rev = t.rev + 1
    where t.id = v_task.id;
    v_released := v_released + (v_wait is null)::int;
  end loop;
  return v_released;
end;
$$;
revoke all on function jobsdb.release_step(uuid, uuid, int, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.release_step(uuid, uuid, int, int) is
'Lets the tasks that watch a step, which has ended, watch the next one below, or makes them claimable.
Returns: number of tasks that wait for no step any more.
Errors:  none.
Source:  sql/functions/task/release_step.sql';
