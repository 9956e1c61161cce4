-- bundle 1
-- Nobody is waited for: a note stays while its step or a watcher of it is held by somebody, or
-- while this very transaction is just ending the step. When the step is free and open after all,
-- the note goes: the step is held until the commit, and whoever ends it after that sees the watcher
-- himself. No sequential scans: see jobsdb.guard_task_insert.
create or replace function jobsdb.release_missed(
  job_id uuid default null,
  max_steps int default 1000
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
  v_note record;
  v_step record;
  v_released int := 0;
begin
  for v_note in
    select
      m.id,
      m.job_id,
      m.org_id,
      m.batch,
      m.step,
      m.by_its_end and m.xid = pg_current_xact_id() as is_ending
    from jobsdb.missed_steps as m
    where m.job_id = release_missed.job_id or release_missed.job_id is null
    order by m.job_id, m.batch, m.step, m.id
    limit release_missed.max_steps
    for update skip locked
  loop
    select u.id, u.status
    into v_step
    from public.job_tasks as u
    where u.job_id = v_note.job_id
      and u.org_id = v_note.org_id
      and u.batch = v_note.batch
      and u.step = v_note.step;

    if v_step.status in ('pending', 'running', 'error') then
      continue when v_note.is_ending;
      select u.status
      into v_step.status
      from public.job_tasks as u
      where u.id = v_step.id
      for share skip locked;
      continue when not found;
    end if;
    if v_step.status in ('pending', 'running', 'error') then
      delete from jobsdb.missed_steps as m
      where m.job_id = v_note.job_id
        and m.batch = v_note.batch
        and m.step = v_note.step
        and m.id = v_note.id;
      continue;
    end if;

    v_released := v_released + jobsdb.release_step(
      v_note.job_id, v_note.org_id, v_note.batch, v_note.step
    );

    -- Kept, not written anew: a new note would call for this function again when the transaction
    -- commits, and again, for as long as somebody holds the watcher.
    delete from jobsdb.missed_steps as m
    where m.job_id = v_note.job_id
      and m.batch = v_note.batch
      and m.step = v_note.step
      and m.id = v_note.id
      and not exists (
        select from public.job_tasks as w
        where w.job_id = v_note.job_id
          and w.batch = v_note.batch
          and w.waits_on = v_note.step
          and w.status = 'pending'
      );
  end loop;
  return v_released;
end;
$$;
revoke all on function jobsdb.release_missed(uuid, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.release_missed(uuid, int) is
'Makes tasks claimable whose last awaited step has ended, working off the notes in jobsdb.missed_steps, of one job or of all.
Units:   max_steps in notes.
Returns: number of tasks that became claimable.
Errors:  none.
Source:  sql/functions/task/release_missed.sql';
