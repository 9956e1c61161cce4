-- bundle 1
-- Once per statement, from its transition tables: rows that ON CONFLICT or another trigger has
-- dropped are not in them. Jobs in order of id, so that two statements never wait for each other in
-- a circle.
-- No sequential scans: see jobsdb.guard_task_insert.
create or replace function jobsdb.update_job_metrics_on_task_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
declare
  v_change record;
  v_status text;
  v_missing int;
  v_names_steps boolean := false;
begin
  if tg_relid <> 'public.job_tasks'::regclass then
    perform jobsdb.refuse_trigger('public.job_tasks');
  end if;

  case tg_op
    when 'INSERT' then
      for v_change in
        select
          n.job_id,
          n.org_id,
          n.kind,
          count(*)::int as tasks,
          nullif(sum(n.retry_count), 0) as retries,
          bool_or(n.depends_on <> '{}' and n.rev = 0) as names_steps
        from new_rows as n
        group by n.job_id, n.org_id, n.kind
        order by n.job_id
      loop
        insert into jobsdb.task_moves (job_id, org_id, kind, total, retries)
        values (
          v_change.job_id, v_change.org_id, v_change.kind, v_change.tasks, v_change.retries
        );
        v_names_steps := v_names_steps or v_change.names_steps is true;
        -- Who holds the row of an open job knows its status.
        continue when jobsdb.count_tasks(
          v_change.job_id, v_change.org_id, v_change.tasks, 0, 0
        );
        select j.status
        into v_status
        from public.jobs as j
        where j.id = v_change.job_id and j.org_id = v_change.org_id
        for key share;
        if v_status in ('succeeded', 'failed', 'cancelled') then
          perform jobsdb.refuse_finished_job(v_change.job_id, v_status, 'no task can be added');
        end if;
      end loop;

      if not v_names_steps then
        return null;
      end if;
      for v_change in
        select n.job_id, n.batch, array_agg(distinct d.step) as steps
        from new_rows as n
        cross join unnest(n.depends_on) as d (step)
        group by n.job_id, n.batch
        order by n.job_id, n.batch
      loop
        select min(d.step)
        into v_missing
        from unnest(v_change.steps) as d (step)
        where not exists (
          select from public.job_tasks as u
          where u.job_id = v_change.job_id and u.batch = v_change.batch and u.step = d.step
        );
        if v_missing is not null then
          raise exception using
            errcode = 'JB011',
            message = format('step %s, which others depend on, does not exist', v_missing),
            detail = format(
              'Batch %s of job "%s" has no such step.', v_change.batch, v_change.job_id
            ),
            hint = 'Insert the step first or in the same statement.';
        end if;
      end loop;

    when 'DELETE' then
      for v_change in
        select
          o.job_id,
          o.org_id,
          count(*)::int as tasks,
          (count(*) filter (where o.status = 'done'))::int as done,
          (count(*) filter (where o.status = 'error'))::int as error,
          (count(*) filter (where o.status = 'skipped'))::int as skipped
        from old_rows as o
        group by o.job_id, o.org_id
        order by o.job_id
      loop
        insert into jobsdb.task_moves (job_id, org_id, starts_anew)
        values (v_change.job_id, v_change.org_id, true);
        -- Nothing to count when the job itself goes.
        if not exists (
          select from public.jobs as j where j.id = v_change.job_id and j.org_id = v_change.org_id
        ) then
          delete from jobsdb.leases as l where l.job_id = v_change.job_id;
          continue;
        end if;
        insert into jobsdb.job_deltas (
          job_id, org_id, tasks_total, tasks_done, tasks_error, tasks_skipped
        )
        values (
          v_change.job_id,
          v_change.org_id,
          -v_change.tasks,
          -v_change.done,
          -v_change.error,
          -v_change.skipped
        );
        if jobsdb.lock_job(v_change.job_id) then
          perform jobsdb.fold_job(v_change.job_id);
        end if;
      end loop;

      for v_change in
        select o.job_id, o.org_id, o.batch, array_agg(o.step) as steps
        from old_rows as o
        where o.status in ('pending', 'running', 'error')
        group by o.job_id, o.org_id, o.batch
        order by o.job_id, o.batch
      loop
        -- An old snapshot may not see who waits for them.
        insert into jobsdb.missed_steps (job_id, org_id, batch, step)
        select v_change.job_id, v_change.org_id, v_change.batch, d.step
        from unnest(v_change.steps) as d (step)
        where current_setting('transaction_isolation') <> 'read committed'
          or exists (
            select from public.job_tasks as w
            where w.job_id = v_change.job_id and w.batch = v_change.batch and w.waits_on = d.step
          );
      end loop;

    else  -- TRUNCATE
      insert into jobsdb.task_moves (job_id, org_id, starts_anew)
      select j.id, j.org_id, true
      from public.jobs as j;
      update jobsdb.job_deltas as d
      set tasks_total = 0, tasks_done = 0, tasks_error = 0, tasks_skipped = 0
      where (d.tasks_total, d.tasks_done, d.tasks_error, d.tasks_skipped) <> (0, 0, 0, 0);
      update public.jobs as j
      set tasks_total = 0, tasks_done = 0, tasks_error = 0, tasks_skipped = 0, updated_at = now()
      where j.tasks_total <> 0;
  end case;
  return null;
end;
$$;
revoke all on function jobsdb.update_job_metrics_on_task_change()
from public, anon, authenticated, service_role;

comment on function jobsdb.update_job_metrics_on_task_change() is
'Trigger: counts inserted, deleted and truncated tasks in their jobs, and refuses tasks added to a finished job.
Returns: null.
Errors:  JB011 a dependency that does not exist; JB040 the job is finished.
Source:  sql/functions/task/update_job_metrics_on_task_change.sql';
