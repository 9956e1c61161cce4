-- bundle 1
-- Every change in plain SQL by anybody comes here. Functions that have proved a move themselves
-- change rev, which no role may write, and are not asked again.
-- No sequential scans: see jobsdb.guard_task_insert.
create or replace function jobsdb.guard_task_update()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
declare
  v_job_status text;
begin
  if tg_relid <> 'public.job_tasks'::regclass then
    perform jobsdb.refuse_trigger('public.job_tasks');
  end if;

  if (new.id, new.job_id, new.org_id, new.batch, new.step, new.kind, new.depends_on)
    is distinct from
    (old.id, old.job_id, old.org_id, old.batch, old.step, old.kind, old.depends_on) then
    raise exception using
      errcode = 'JB002',
      message = format('task "%s" cannot change its place', old.id),
      detail = 'Job, organisation, batch, step, kind and dependencies of a task never change.',
      hint = 'Skip it and insert another task.';
  end if;
  if new.input is distinct from old.input then
    perform jobsdb.check_input(new.input);
  end if;
  if new.output is distinct from old.output then
    perform jobsdb.check_document('output', new.output);
  end if;

  new.max_retries := coalesce(new.max_retries, old.max_retries);
  if new.retry_count <> old.retry_count then
    insert into jobsdb.task_moves (job_id, org_id, retries)
    values (old.job_id, old.org_id, new.retry_count::bigint - old.retry_count);
  end if;
  if new.status = old.status then
    if new.status = 'pending' and new.waits_on is null then
      if new.scheduled_for is distinct from old.scheduled_for then
        new.waits_until := case when new.scheduled_for > now() then new.scheduled_for end;
      end if;
      if new.waits_until is not null then
        new.pos := null;
      elsif old.pos is null or new.priority <> old.priority then
        new.pos := jobsdb.next_pos(new.job_id, new.kind, new.priority);
      end if;
    end if;
    -- The times fit the status: an ended task has an end, no other has.
    new.finished_at := case
      when old.status in ('done', 'error', 'skipped')
        then coalesce(new.finished_at, old.finished_at)
    end;
    if old.status = 'running' then
      new.started_at := coalesce(new.started_at, old.started_at);
    end if;
    if old.status = 'done'
      and (new.created_at, new.started_at, new.finished_at, new.scheduled_for)
      is distinct from
      (old.created_at, old.started_at, old.finished_at, old.scheduled_for) then
      insert into jobsdb.task_moves (job_id, org_id, starts_anew)
      values (old.job_id, old.org_id, true);
    end if;
    return new;
  end if;

  perform jobsdb.check_move('task', old.id::text, old.status, new.status);

  -- What brings work to life must not slip past somebody who is just closing the job: it waits for
  -- him and then reads what he decided. What ends work waits for nobody; in flight it counts.
  if new.status in ('pending', 'running') then
    select j.status
    into v_job_status
    from public.jobs as j
    where j.id = old.job_id and j.org_id = old.org_id
    for key share;
  else
    select j.status
    into v_job_status
    from public.jobs as j
    where j.id = old.job_id and j.org_id = old.org_id;
  end if;
  if v_job_status in ('succeeded', 'failed', 'cancelled') and new.status <> 'skipped' then
    perform jobsdb.refuse_finished_job(
      old.job_id,
      v_job_status,
      format('task "%s" cannot go from "%s" to "%s"', old.id, old.status, new.status)
    );
  end if;

  -- Plain SQL beats a worker: its token is stale from here on. A lease of this task alone goes; one
  -- of several is removed by whoever looks for expired ones.
  if old.lease_token is not null then
    delete from jobsdb.leases as l
    where l.job_id = old.job_id and l.token = old.lease_token and cardinality(l.task_ids) = 1;
  end if;
  new.lease_token := null;
  new.lease_expires_at := null;
  new.locked_by := null;
  new.waits_on := null;
  new.waits_until := null;
  new.pos := null;

  case new.status::text
    when 'running' then
      new.started_at := coalesce(nullif(new.started_at, old.started_at), now());
      new.finished_at := null;
      -- It is found like any other running task, but its lease never ends and nobody knows it.
      new.lease_token := gen_random_uuid();
      insert into jobsdb.leases (job_id, org_id, token, look_at, task_ids)
      values (old.job_id, old.org_id, new.lease_token, 'infinity', array[old.id]);
    when 'pending' then
      new.started_at := null;
      new.finished_at := null;
      new.waits_on := jobsdb.next_wait(
        old.job_id, old.org_id, old.batch, old.step, old.depends_on, old.id
      );
      if new.waits_on is null then
        new.waits_until := case when new.scheduled_for > now() then new.scheduled_for end;
        new.pos := case
          when new.waits_until is null
            then jobsdb.next_pos(new.job_id, new.kind, new.priority)
        end;
      end if;
    else
      new.finished_at := coalesce(nullif(new.finished_at, old.finished_at), now());
  end case;

  -- An old snapshot may not see who waits for this step.
  if new.status in ('done', 'skipped') and (
    current_setting('transaction_isolation') <> 'read committed'
    or exists (
      select from public.job_tasks as w
      where w.job_id = old.job_id and w.batch = old.batch and w.waits_on = old.step
    )
  ) then
    insert into jobsdb.missed_steps (job_id, org_id, batch, step, by_its_end)
    values (old.job_id, old.org_id, old.batch, old.step, true);
  end if;

  if old.status in ('done', 'error', 'skipped') or new.status in ('done', 'error', 'skipped') then
    perform jobsdb.count_task_move(old.job_id, old.org_id, old.id, old.status, new.status);
  end if;
  return new;
end;
$$;
revoke all on function jobsdb.guard_task_update() from public, anon, authenticated, service_role;

comment on function jobsdb.guard_task_update() is
'Trigger: proves a change of a task in plain SQL, stamps its times, takes the lease away, counts the move, and lets dependents know.
Returns: the row.
Errors:  JB002 illegal move; JB011 input is no object; JB012 too large or too deep; JB040 the job is finished.
Source:  sql/functions/task/guard_task_update.sql';
