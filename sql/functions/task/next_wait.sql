-- bundle 1
-- A task watches one step: the highest unfinished one it depends on. When that ends, the watch
-- moves down; it never moves up, because done and skipped are final. So all looks of one task
-- together read each of its steps about once, and tasks without dependencies cost nothing. A step
-- of another transaction may be ending right now, by somebody who cannot see the watcher yet: it is
-- noted and looked at again, so that neither of the two waits for the other. No sequential scans:
-- see jobsdb.guard_task_insert.
create or replace function jobsdb.next_wait(
  job_id uuid,
  org_id uuid,
  batch int,
  below_step int,
  depends_on int[],
  before_id bigint,
  counts_absent boolean default false
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
  v_watch record;
begin
  -- Named steps are looked up one by one; a range of steps is read from the top. The organisation
  -- is left out: before the first ANALYZE its index looks as good as the unique one, and reads it
  -- all.
  if next_wait.depends_on is null then
    select u.step, u.xmin = pg_current_xact_id()::xid as is_ours
    into v_watch
    from public.job_tasks as u
    where u.job_id = next_wait.job_id
      and u.batch = next_wait.batch
      and u.step < next_wait.below_step
      and u.id < next_wait.before_id
      and u.status in ('pending', 'running', 'error')
    order by u.step desc
    limit 1;
  else
    select d.step, coalesce(u.xmin = pg_current_xact_id()::xid, true) as is_ours
    into v_watch
    from unnest(next_wait.depends_on) as d (step)
    left join lateral (
      select t.xmin, t.status
      from public.job_tasks as t
      where t.job_id = next_wait.job_id
        and t.batch = next_wait.batch
        and t.step = d.step
      limit 1
    ) as u on true
    where d.step < next_wait.below_step and (
      u.status in ('pending', 'running', 'error')
      or (u.status is null and next_wait.counts_absent)
    )
    order by d.step desc
    limit 1;
  end if;

  -- One note of a step is enough for all that this transaction plans on it.
  if not v_watch.is_ours and not exists (
    select from jobsdb.missed_steps as m
    where m.job_id = next_wait.job_id
      and m.batch = next_wait.batch
      and m.step = v_watch.step
      and m.xid = pg_current_xact_id()
      and not m.by_its_end
  ) then
    insert into jobsdb.missed_steps (job_id, org_id, batch, step)
    values (next_wait.job_id, next_wait.org_id, next_wait.batch, v_watch.step);
  end if;
  return v_watch.step;
end;
$$;
revoke all on function jobsdb.next_wait(uuid, uuid, int, int, int[], bigint, boolean)
from public, anon, authenticated, service_role;

comment on function jobsdb.next_wait(uuid, uuid, int, int, int[], bigint, boolean) is
'Finds the highest unfinished step below below_step that a task depends on, and notes it when its end could be missed.
Units:   depends_on null means every step older than before_id; counts_absent: a named step that is not there is waited for.
Returns: a step, or null when the task waits for none.
Errors:  none.
Source:  sql/functions/task/next_wait.sql';
