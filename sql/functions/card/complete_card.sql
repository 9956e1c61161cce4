-- bundle 2
-- Fills in, and refuses a bad link before its foreign key would (which cannot say why). Whether the
-- result is allowed is decided after every BEFORE trigger of the host has run (jobsdb.guard_card).
create or replace function jobsdb.complete_card()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_new jsonb;
begin
  if tg_relid <> 'public.kanban_cards'::regclass then
    perform jobsdb.refuse_trigger('public.kanban_cards');
  end if;

  -- A link is ours to guard, also where a host lets everybody update its rows: whoever is
  -- identified takes only his own apart.
  if tg_op = 'UPDATE' then
    if old.job_id is not null
      and (new.job_id, new.task_id, new.org_id)
        is distinct from (old.job_id, old.task_id, old.org_id)
      and auth.uid() is not null
      and not jobsdb.may_see(old.org_id) then
      perform jobsdb.refuse_job(old.job_id);
    end if;
  end if;

  -- A task alone names the job; without a job there is no task either (deleting a job clears
  -- job_id, and task_id must not be left dangling).
  if new.job_id is null and new.task_id is not null then
    if tg_op = 'INSERT' then
      new.job_id := jobsdb.job_of_task(new.task_id, new.org_id);
    elsif new.task_id is distinct from old.task_id then
      new.job_id := jobsdb.job_of_task(new.task_id, new.org_id);
    else
      new.task_id := null;
    end if;
  end if;

  if new.job_id is not null then
    if tg_op = 'INSERT' then
      perform jobsdb.check_card_link(new.job_id, new.task_id, new.org_id);
    elsif (new.job_id, new.task_id) is distinct from (old.job_id, old.task_id) then
      perform jobsdb.check_card_link(new.job_id, new.task_id, new.org_id);
    end if;
  end if;

  -- An approval is for the content it saw: a later edit sends the card back.
  if tg_op = 'UPDATE' then
    v_new := to_jsonb(new);
    if new.job_id is not null
      and old.job_id is not null
      and jobsdb.card_state(v_new) = 'approved'
      and jobsdb.card_state(to_jsonb(old)) = 'approved' then
      -- What the host has generated is not there yet.
      if v_new ->> 'title' is null and exists (
        select from pg_attribute as a
        where a.attrelid = tg_relid and a.attname = 'title' and a.attgenerated <> ''
      ) then
        v_new := v_new || jsonb_build_object('title', to_jsonb(old) -> 'title');
      end if;
      if jobsdb.card_hash(v_new) <> jobsdb.card_hash(to_jsonb(old)) then
        new.state := 'in_review';
      end if;
    end if;
  end if;
  return new;
end;
$$;
revoke all on function jobsdb.complete_card() from public, anon, authenticated, service_role;

comment on function jobsdb.complete_card() is
'Trigger: fills a card''s job from its task, clears the task when the job goes, and sends an edited approved card back to review.
Returns: the row.
Errors:  JB020 job or task not found or not yours.
Source:  sql/functions/card/complete_card.sql';
