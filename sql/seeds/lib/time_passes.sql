-- Makes everything of campaign seed.job older by seed.gap, so that what runs next happens later.
--
-- First whatever is deferred to a commit: between two moments of a campaign there would be one.
set constraints jobsdb.t50_fold_at_commit, jobsdb.t60_release_at_commit immediate;
set constraints jobsdb.t50_fold_at_commit, jobsdb.t60_release_at_commit deferred;

do $$
declare
  v_job_id uuid := current_setting('seed.job');
  v_gap interval := current_setting('seed.gap');
begin
  update public.jobs as j
  set
    created_at = j.created_at - v_gap,
    updated_at = j.updated_at - v_gap,
    started_at = j.started_at - v_gap,
    finished_at = j.finished_at - v_gap
  where j.id = v_job_id;

  update public.job_tasks as t
  set
    created_at = t.created_at - v_gap,
    scheduled_for = t.scheduled_for - v_gap,
    started_at = t.started_at - v_gap,
    finished_at = t.finished_at - v_gap,
    input = case
      when t.input ? 'scheduled_for'
        then t.input || jsonb_build_object('scheduled_for', t.scheduled_for - v_gap)
      else t.input
    end
  where t.job_id = v_job_id;

  update jobsdb.runnable_jobs as r
  set since = r.since - v_gap
  where r.job_id = v_job_id;

  -- The loader did it as the owner; it is written down as what it stands for.
  update jobsdb.events as e
  set
    happened_at = e.happened_at - v_gap,
    actor_role = case when e.actor is null then 'service_role' else 'authenticated' end
  where e.job_id = v_job_id;

  update jobsdb.card_reviews as r
  set
    decided_at = r.decided_at - v_gap,
    reviewer_role = case when r.reviewer is null then 'service_role' else 'authenticated' end
  where r.job_id = v_job_id;

  update jobsdb.sends as s
  set
    queued_at = s.queued_at - v_gap,
    not_before = s.not_before - v_gap,
    dispatched_at = s.dispatched_at - v_gap,
    settled_at = s.settled_at - v_gap
  where s.job_id = v_job_id;

  -- A host's table has its own ids, times and triggers: there the cards stay as they came.
  if exists (
    select from jobsdb.host_tables as h
    where h.table_name = 'kanban_cards' and h.made_by_jobsdb
  ) then
    update public.kanban_cards as c
    set
      id = md5(concat_ws('/', v_job_id, t.batch, t.step, c.title))::uuid,
      created_at = c.created_at - v_gap,
      updated_at = c.updated_at - v_gap
    from public.job_tasks as t
    where c.job_id = v_job_id and t.id = c.task_id;
  end if;

  -- After the cards: one with a new id waits anew.
  update jobsdb.waiting_cards as w
  set since = w.since - v_gap
  where w.job_id = v_job_id;
end;
$$;
