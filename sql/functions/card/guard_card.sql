-- bundle 2
-- Runs AFTER each row: it sees the row as every BEFORE trigger, the host's included, has left it,
-- so nothing can slip past by firing later. Refusing takes the change back all the same.
create or replace function jobsdb.guard_card()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_new jsonb := to_jsonb(new);
  v_old jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) end;
  v_to text := jobsdb.card_state(v_new);
  v_from text := case
    when v_old ->> 'job_id' = v_new ->> 'job_id' then jobsdb.card_state(v_old)
  end;
  v_card_id text := v_new ->> 'id';
  v_job record;
  v_in_review_mode boolean;
  v_same_link boolean := v_from is not null
    and v_old ->> 'task_id' is not distinct from v_new ->> 'task_id'
    and v_old ->> 'org_id' is not distinct from v_new ->> 'org_id';
begin
  if tg_relid <> 'public.kanban_cards'::regclass then
    perform jobsdb.refuse_trigger('public.kanban_cards');
  end if;

  -- An unchanged link of an unchanged state has nothing to prove.
  if v_same_link
    and v_from = v_to
    and (v_to <> 'approved' or jobsdb.card_hash(v_new) = jobsdb.card_hash(v_old)) then
    return null;
  end if;

  -- Whoever is identified decides for his own organisation only. A host's own back end, which is
  -- not, goes by the host's policies; it cannot approve.
  if not v_same_link or auth.uid() is not null then
    perform jobsdb.check_card_link(new.job_id, new.task_id, new.org_id);
  end if;

  -- What adds or revives work waits for whoever is closing the job, then reads what he decided.
  if v_from is null or v_to = 'approved' or v_from = 'rejected' then
    select j.status, j.params, j.created_by
    into v_job
    from public.jobs as j
    where j.id = new.job_id and j.org_id = new.org_id
    for key share;
  else
    select j.status, j.params, j.created_by
    into v_job
    from public.jobs as j
    where j.id = new.job_id and j.org_id = new.org_id;
  end if;
  v_in_review_mode := jobsdb.reviews_cards(v_job.params);

  if tg_op = 'INSERT' and (
    v_to in ('rejected', 'done') or (v_to = 'approved' and v_in_review_mode)
  ) then
    raise exception using
      errcode = 'JB003',
      message = format('a new card cannot be "%s"', v_to),
      detail = case
        when v_to = 'approved' then format('Job "%s" is in review mode.', new.job_id)
        else 'A card that nobody has looked at is decided already.'
      end,
      hint = 'Insert it as in_review and let a person decide.';
  end if;

  if v_from is distinct from v_to and v_from is not null then
    perform jobsdb.check_move('card', v_card_id, v_from, v_to);
    if v_to = 'done'
      and v_in_review_mode
      and (v_from = 'in_review' or jobsdb.card_hash(v_new) <> jobsdb.card_hash(v_old)) then
      raise exception using
        errcode = 'JB003',
        message = format('card "%s" cannot go from "%s" to "%s"', v_card_id, v_from, v_to),
        detail = format('Job "%s" is in review mode', new.job_id)
          || case v_from when 'in_review' then '.' else ' and this content was not approved.' end,
        hint = 'Let a person approve exactly this content first.';
    end if;
  elsif v_from = 'approved' and jobsdb.card_hash(v_new) <> jobsdb.card_hash(v_old) then
    raise exception using
      errcode = 'JB003',
      message = format('the content of card "%s" cannot change while it is approved', v_card_id),
      detail = 'A trigger of the host application changed it after jobsdb had looked at the row.',
      hint = 'Send the card back to in_review, edit it, and let a person approve it again.';
  end if;

  if v_to = 'approved'
    and v_from is distinct from v_to
    and v_in_review_mode
    and not jobsdb.is_identified() then
    raise exception using
      errcode = 'JB003',
      message = format('card "%s" cannot be approved by nobody', v_card_id),
      detail = format('Job "%s" is in review mode and the caller has no auth.uid().', new.job_id),
      hint = 'Let an identified person approve it; an agent cannot.';
  end if;

  if v_to = 'approved'
    and v_from is distinct from v_to
    and v_job.params -> 'four_eyes' = 'true'
    and auth.uid() = v_job.created_by then
    raise exception using
      errcode = 'JB003',
      message = format('card "%s" cannot be approved by who created the job', v_card_id),
      detail = format('Job "%s" wants four eyes (params.four_eyes).', new.job_id),
      hint = 'Let another person of the organisation approve it.';
  end if;

  if v_job.status in ('succeeded', 'failed', 'cancelled') and (
    (v_from is null and v_to in ('in_review', 'approved'))
    or (v_from is distinct from v_to and (v_to = 'approved' or v_from = 'rejected'))
  ) then
    perform jobsdb.refuse_finished_job(
      new.job_id, v_job.status, format('card "%s" cannot become "%s"', v_card_id, v_to)
    );
  end if;

  if v_from is distinct from v_to and (v_from is not null or v_to = 'approved') then
    insert into jobsdb.events (
      org_id, job_id, entity, entity_id, old_status, new_status, actor, actor_role
    )
    values (
      new.org_id, new.job_id, 'card', v_card_id, v_from, v_to, auth.uid(), jobsdb.caller_role()
    );
    if v_to <> 'done' then
      insert into jobsdb.card_reviews (
        org_id, job_id, card_id, decision, reviewer, reviewer_role, content_hash, comment, edited
      )
      values (
        new.org_id,
        new.job_id,
        v_card_id,
        v_to,
        auth.uid(),
        jobsdb.caller_role(),
        jobsdb.card_hash(v_new),
        nullif(left(current_setting('jobsdb.review_comment', true), 1000), ''),
        v_to = 'approved' and v_from is not null and (
          jobsdb.card_hash(v_new) <> jobsdb.card_hash(v_old)
          or coalesce(current_setting('jobsdb.edited', true) = v_card_id, false)
        )
      );
    end if;
  end if;
  return null;
end;
$$;
revoke all on function jobsdb.guard_card() from public, anon, authenticated, service_role;

comment on function jobsdb.guard_card() is
'Trigger: proves a linked card''s link and move, and writes down every decision with its content''s fingerprint.
Returns: null.
Errors:  JB003 illegal move or approval by nobody; JB020 job or task not found or not yours; JB040 the job is finished.
Source:  sql/functions/card/guard_card.sql';
