-- bundle 1
-- A task watches one step: the highest unfinished one it depends on. When that ends, the watch
-- moves down; it never moves up, because done and skipped are final. So all looks of one task
-- together read each of its steps about once, and tasks without dependencies cost nothing. The
-- watched row is held FOR SHARE until the transaction ends: whoever finishes that step meanwhile
-- waits for this commit and then sees the watcher. A row somebody is changing right now is not
-- waited for; the step is noted instead and looked at again.
create or replace function jobsdb.next_wait(
  job_id uuid,
  org_id uuid,
  batch int,
  below_step int,
  depends_on int[],
  before_id bigint
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
  v_below int := next_wait.below_step;
  v_watch record;
  v_held record;
begin
  loop
    -- Named steps are looked up one by one; a range of steps is read from the top. The organisation
    -- is left out: before the first ANALYZE its index looks as good as the unique one, and reads it
    -- all.
    if next_wait.depends_on is null then
      select u.id, u.step, u.xmin = pg_current_xact_id()::xid as is_ours
      into v_watch
      from public.job_tasks as u
      where u.job_id = next_wait.job_id
        and u.batch = next_wait.batch
        and u.step < v_below
        and u.id < next_wait.before_id
        and u.status in ('pending', 'running', 'error')
      order by u.step desc
      limit 1;
    else
      select u.id, u.step, u.xmin = pg_current_xact_id()::xid as is_ours
      into v_watch
      from unnest(next_wait.depends_on) as d (step)
      cross join lateral (
        select t.id, t.step, t.xmin, t.status
        from public.job_tasks as t
        where t.job_id = next_wait.job_id
          and t.batch = next_wait.batch
          and t.step = d.step
        limit 1
      ) as u
      where d.step < v_below and u.status in ('pending', 'running', 'error')
      order by u.step desc
      limit 1;
    end if;

    if not found then
      return null;
    elsif v_watch.is_ours then
      return v_watch.step;
    end if;

    select u.status
    into v_held
    from public.job_tasks as u
    where u.id = v_watch.id
    for share skip locked;

    if not found then
      insert into jobsdb.missed_steps (job_id, org_id, batch, step)
      values (next_wait.job_id, next_wait.org_id, next_wait.batch, v_watch.step);
      return v_watch.step;
    elsif v_held.status in ('pending', 'running', 'error') then
      return v_watch.step;
    end if;
    v_below := v_watch.step;
  end loop;
end;
$$;
revoke all on function jobsdb.next_wait(uuid, uuid, int, int, int[], bigint)
from public, anon, authenticated, service_role;

comment on function jobsdb.next_wait(uuid, uuid, int, int, int[], bigint) is
'Finds the highest unfinished step below below_step that a task depends on, and holds it so that its end is not missed.
Units:   depends_on null means every step older than before_id.
Returns: a step, or null when the task waits for none.
Errors:  none.
Source:  sql/functions/task/next_wait.sql';
