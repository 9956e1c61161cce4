-- bundle 1
-- What a job's move entails. Its tasks are not rewritten: a row in jobsdb.runnable_jobs says
-- whether they may be claimed, and at most 1,000 of them are marked skipped here, so that start,
-- pause and cancel cost the same for ten tasks and for a million.
create or replace function jobsdb.follow_job_move()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if tg_relid <> 'public.jobs'::regclass then
    perform jobsdb.refuse_trigger('public.jobs');
  end if;

  if new.status in ('succeeded', 'failed', 'cancelled') then
    insert into jobsdb.unfrozen_jobs (job_id, org_id)
    values (new.id, new.org_id);
  end if;
  if new.status = old.status and new.paused_at is not distinct from old.paused_at then
    return null;  -- only its name or its params have changed
  end if;

  if new.status = 'running' and new.paused_at is null then
    insert into jobsdb.runnable_jobs (job_id, org_id, is_limited)
    values (
      new.id,
      new.org_id,
      exists (select from jobsdb.work_limits as l where l.org_id = new.org_id)
    )
    on conflict do nothing;
  else
    delete from jobsdb.runnable_jobs as r where r.job_id = new.id;
  end if;

  insert into jobsdb.events (
    org_id, job_id, entity, entity_id, old_status, new_status, actor, actor_role
  )
  values (
    new.org_id,
    new.id,
    'job',
    new.id::text,
    case when old.paused_at is null then old.status else 'paused' end,
    case when new.paused_at is null then new.status else 'paused' end,
    auth.uid(),
    jobsdb.caller_role()
  );

  if new.status in ('failed', 'cancelled') then
    insert into jobsdb.closed_jobs (job_id, org_id)
    values (new.id, new.org_id)
    on conflict do nothing;
    perform jobsdb.skip_open_tasks(new.id, 1000);
  end if;
  return null;
end;
$$;
revoke all on function jobsdb.follow_job_move() from public, anon, authenticated, service_role;

comment on function jobsdb.follow_job_move() is
'Trigger: makes a job''s tasks claimable or not, writes its history, and begins to skip the open tasks of one that failed or was cancelled.
Returns: null.
Errors:  none.
Source:  sql/functions/job/follow_job_move.sql';
