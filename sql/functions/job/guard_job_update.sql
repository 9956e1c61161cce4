-- bundle 1
-- Runs for every change of what people decide about a job, by function or plain SQL alike; changes
-- of counters do not come here.
create or replace function jobsdb.guard_job_update()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_open record;
  v_delta record;
begin
  if tg_relid <> 'public.jobs'::regclass then
    perform jobsdb.refuse_trigger('public.jobs');
  end if;

  if (new.id, new.org_id) is distinct from (old.id, old.org_id) then
    raise exception using
      errcode = 'JB001',
      message = format('job "%s" cannot change its id or organisation', old.id),
      detail = 'Its tasks and cards belong to the same organisation.',
      hint = 'Create a new job in the other organisation.';
  end if;

  if (new.name, new.params) is distinct from (old.name, old.params) then
    perform jobsdb.check_job(new.name, new.params);
  end if;

  -- Switching review off lets cards out that nobody has seen: a person must stand behind it.
  if jobsdb.reviews_cards(old.params) and not jobsdb.reviews_cards(new.params)
    and not jobsdb.is_identified() then
    raise exception using
      errcode = 'JB003',
      message = format('review mode of job "%s" cannot be switched off by nobody', old.id),
      detail = 'The caller has no auth.uid().',
      hint = 'Let an identified person change params.review_mode.';
  end if;

  -- Nor do four eyes become two by the hand that they bind.
  if old.params -> 'four_eyes' = 'true'
    and new.params -> 'four_eyes' is distinct from 'true'
    and (not jobsdb.is_identified() or coalesce(auth.uid() = old.created_by, false)) then
    raise exception using
      errcode = 'JB003',
      message = format('four eyes of job "%s" cannot be waived by who created it', old.id),
      detail = 'params.four_eyes keeps the creator of a job from approving its cards.',
      hint = 'Let another person of the organisation change params.four_eyes.';
  end if;

  new.updated_at := now();

  if new.status = old.status then
    return new;
  end if;

  perform jobsdb.check_move('job', old.id::text, old.status, new.status);

  -- Whoever adds work holds the row FOR KEY SHARE, which only FOR UPDATE waits for: with less, a
  -- task could slip into a job that is just being cancelled.
  perform from public.jobs as j where j.id = old.id for update;

  with gone as (
    delete from jobsdb.job_deltas as d
    where d.job_id = old.id
    returning d.*
  )
  select
    coalesce(sum(g.tasks_total), 0)::int as tasks_total,
    coalesce(sum(g.tasks_done), 0)::int as tasks_done,
    coalesce(sum(g.tasks_error), 0)::int as tasks_error,
    coalesce(sum(g.tasks_skipped), 0)::int as tasks_skipped,
    coalesce(sum(g.cards_total), 0)::int as cards_total,
    coalesce(sum(g.cards_in_review), 0)::int as cards_in_review,
    coalesce(sum(g.cards_approved), 0)::int as cards_approved,
    coalesce(sum(g.cards_rejected), 0)::int as cards_rejected,
    coalesce(sum(g.cards_done), 0)::int as cards_done,
    coalesce(sum(g.cards_other), 0)::int as cards_other
  into v_delta
  from gone as g;

  new.tasks_total := new.tasks_total + v_delta.tasks_total;
  new.tasks_done := new.tasks_done + v_delta.tasks_done;
  new.tasks_error := new.tasks_error + v_delta.tasks_error;
  new.tasks_skipped := new.tasks_skipped + v_delta.tasks_skipped;
  new.cards_total := new.cards_total + v_delta.cards_total;
  new.cards_in_review := new.cards_in_review + v_delta.cards_in_review;
  new.cards_approved := new.cards_approved + v_delta.cards_approved;
  new.cards_rejected := new.cards_rejected + v_delta.cards_rejected;
  new.cards_done := new.cards_done + v_delta.cards_done;
  new.cards_other := new.cards_other + v_delta.cards_other;

  case new.status::text
    when 'running' then
      new.started_at := coalesce(new.started_at, now());
    when 'succeeded' then
      if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using
          errcode = 'JB030',
          message = format('job "%s" cannot succeed by an old snapshot', old.id),
          detail = format(
            'The transaction is %s: work added since it began is invisible to it.',
            current_setting('transaction_isolation')
          ),
          hint = 'Use the default isolation level, READ COMMITTED.';
      end if;
      -- The counters are complete here: the row is held and every visible delta is in them.
      select
        new.tasks_total - new.tasks_done - new.tasks_error - new.tasks_skipped as tasks,
        new.cards_in_review + new.cards_other as in_review,
        new.cards_approved as approved
      into v_open;
      if v_open.tasks > 0 or v_open.in_review > 0 or v_open.approved > 0 then
        raise exception using
          errcode = 'JB040',
          message = format('job "%s" cannot succeed while work is open', old.id),
          detail = format(
            'Open: %s tasks pending or running, %s cards in review, %s cards approved.',
            v_open.tasks, v_open.in_review, v_open.approved
          ),
          hint = 'Finish or skip the tasks, decide and execute the cards, or cancel the job.';
      end if;
    else
      -- Whatever is neither done nor error counts as skipped from now on; the rows follow.
      new.tasks_skipped := new.tasks_total - new.tasks_done - new.tasks_error;
  end case;

  if new.status in ('succeeded', 'failed', 'cancelled') then
    new.finished_at := coalesce(nullif(new.finished_at, old.finished_at), now());
    new.paused_at := null;
  end if;
  return new;
end;
$$;
revoke all on function jobsdb.guard_job_update() from public, anon, authenticated, service_role;

comment on function jobsdb.guard_job_update() is
'Trigger: proves a move of a job, brings its counters up to date with it and stamps the times.
Returns: the row.
Errors:  JB001 illegal move; JB003 review switched off by nobody, or four eyes by the creator; JB010 bad name or params; JB012 too large or too deep; JB030 an old snapshot; JB040 open work.
Source:  sql/functions/job/guard_job_update.sql';
