-- bundle 5
create or replace function jobsdb.follow_card()
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
  v_to text := case when new.job_id is not null then jobsdb.card_state(v_new) end;
  v_from text := case
    when v_old ->> 'job_id' = v_new ->> 'job_id' then jobsdb.card_state(v_old)
  end;
  v_send jobsdb.sends;
  v_place record;
  v_is_email boolean;
  v_params jsonb;
begin
  if tg_relid <> 'public.kanban_cards'::regclass then
    perform jobsdb.refuse_trigger('public.kanban_cards');
  end if;
  if v_from = v_to then
    return null;
  end if;

  if v_old ->> 'job_id' is not null then
    select s.*
    into v_send
    from jobsdb.sends as s
    where s.card_id = v_new ->> 'id'
      and s.job_id = old.job_id
      and s.state in ('queued', 'leased', 'dispatching', 'unknown')
    for no key update;
    -- To another job a card takes its e-mail along, as long as the gate can still hold it back.
    if new.job_id is not null and (
      v_send.state in ('dispatching', 'unknown')
      or v_send.may_be_out
      or (v_send.state = 'leased' and v_from is not null)
    ) then
      raise exception using
        errcode = 'JB003',
        message = format(
          'card "%s" cannot become "%s" while its e-mail is "%s"',
          v_new ->> 'id', v_to, v_send.state
        ),
        detail = case
          when v_send.state in ('unknown', 'queued')
            then 'Its worker was lost while the provider was asked; nobody knows the answer.'
          else format('Worker %s has it.', v_send.locked_by)
        end,
        hint = case v_send.state
          when 'unknown' then 'Decide with resolve_unknown whether it is sent again.'
          else 'Wait until it is settled; then it is done.'
        end;
    end if;
  end if;

  v_is_email := v_new ->> 'type' in ('draft_email', 'send_email')
    and btrim(v_new #>> '{content,to}') <> '';
  if v_to = 'approved' and v_is_email then
    perform jobsdb.queue_send(v_new);
  end if;
  -- Without review a card may be done at once: then its e-mail has gone out by hand.
  if v_to = 'done' and v_from = 'in_review' and v_is_email and v_send.id is null then
    perform jobsdb.queue_send(v_new);
    select s.*
    into v_send
    from jobsdb.sends as s
    where s.card_id = v_new ->> 'id' and s.job_id = new.job_id and s.state = 'queued';
  end if;

  if v_send.state = 'queued' and (v_to is distinct from 'approved' or v_from is null) then
    -- Somebody who is no send worker has executed it.
    update jobsdb.sends as s
    set
      state = case v_to when 'done' then 'sent' else 'cancelled' end,
      provider = case v_to when 'done' then 'by hand' end,
      reason = case v_to when 'done' then 'the card was set done' else 'the card was taken back' end,
      dispatched_at = case v_to when 'done' then now() end,
      settled_at = now()
    where s.id = v_send.id;
    if v_to = 'done' then
      perform jobsdb.advance_contact(
        v_send.job_id, v_send.org_id, v_send.contact_key, v_send.touch, now()
      );
    end if;
  end if;

  if v_is_email and (v_to = 'rejected' or v_from = 'rejected') then
    v_place := jobsdb.place_of_card(v_new);
    if v_place.touch !~ '^[0-9]{1,9}$' then
      return null;  -- outside the sequence
    end if;
    v_params := (
      select j.params from public.jobs as j where j.id = new.job_id and j.org_id = new.org_id
    );
    if v_to = 'rejected'
      and nullif(current_setting('jobsdb.redraft', true), '')::jsonb ? (v_new ->> 'id') then
      null;  -- another draft is planned, or the contact's sequence has been decided already
    elsif v_to = 'rejected' and (v_params #> '{stop_on,rejected}') is distinct from 'false' then
      perform jobsdb.stop_contact(
        new.job_id,
        new.org_id,
        v_place.contact_key,
        case current_setting('jobsdb.expiring', true) when 'on' then 'expired' else 'rejected' end
      );
    elsif v_to = 'rejected' then
      perform jobsdb.advance_contact(
        new.job_id, new.org_id, v_place.contact_key, v_place.touch, now()
      );
    else
      update jobsdb.job_contacts as c
      set
        state = 'active',
        reason = null,
        next_touch = v_place.touch::int,
        updated_at = now()
      where c.job_id = new.job_id
        and c.org_id = new.org_id
        and c.contact_key = v_place.contact_key
        and c.state = 'stopped'
        and c.reason in ('rejected', 'expired');
    end if;
  end if;
  return null;
end;
$$;
revoke all on function jobsdb.follow_card() from public, anon, authenticated, service_role;

comment on function jobsdb.follow_card() is
'Trigger: queues the e-mail of an approved card, takes it back with the approval, and stops the sequence of a contact whose card was rejected.
Returns: null.
Errors:  JB003 the e-mail of the card is being sent, or it is unknown whether it was.
Source:  sql/functions/send/follow_card.sql';
