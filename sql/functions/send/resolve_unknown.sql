-- bundle 5
create or replace function jobsdb.resolve_unknown(
  send_id bigint,
  decision text,
  reviewer uuid
)
returns text
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_send jobsdb.sends;
  v_job_status text;
  v_reviewer uuid := coalesce(resolve_unknown.reviewer, auth.uid());
  v_card_id public.kanban_cards.id%type;
begin
  if (resolve_unknown.decision in ('resend', 'delivered', 'cancel')) is not true then
    raise exception using
      errcode = 'JB011',
      message = format('"%s" decides nothing', coalesce(resolve_unknown.decision, 'null')),
      detail = 'Nobody knows whether the provider has sent the e-mail.',
      hint = 'Use delivered (it was sent), resend (send it again) or cancel (neither).';
  end if;
  select s.*
  into v_send
  from jobsdb.sends as s
  where s.id = resolve_unknown.send_id and jobsdb.may_see(s.org_id);
  if v_send.id is null then
    raise exception using
      errcode = 'JB020',
      message = format(
        'send "%s" was not found or is not yours',
        coalesce(resolve_unknown.send_id::text, 'null')
      ),
      detail = 'No send with this id belongs to an organisation of the caller.',
      hint = 'job_blockers(job_id) lists those that wait for a decision.';
  end if;
  perform jobsdb.check_reviewer(v_send.org_id, v_reviewer);

  v_card_id := v_send.card_id;
  perform from public.kanban_cards as c where c.id = v_card_id for no key update;
  select s.* into v_send from jobsdb.sends as s where s.id = v_send.id for no key update;
  if v_send.state <> 'unknown' then
    raise exception using
      errcode = 'JB030',
      message = format('send "%s" is "%s"', v_send.id, v_send.state),
      detail = 'Only an unknown send waits for a decision; somebody has decided, or its worker came back.',
      hint = 'Read it again.';
  end if;
  if resolve_unknown.decision = 'resend' then
    select j.status
    into v_job_status
    from public.jobs as j
    where j.id = v_send.job_id and j.org_id = v_send.org_id
    for key share;
    if (v_job_status in ('pending', 'running')) is not true then
      perform jobsdb.refuse_finished_job(
        v_send.job_id,
        coalesce(v_job_status, 'deleted'),
        format('send "%s" cannot be sent again', v_send.id)
      );
    end if;
    -- The gate would not let it out; here a person can be told.
    if jobsdb.is_suppressed(v_send.org_id, v_send.recipient) then
      raise exception using
        errcode = 'JB060',
        message = format(
          'send "%s" cannot be sent again: its recipient is suppressed', v_send.id
        ),
        detail = 'The address or its domain is suppressed for the organisation or for all.',
        hint = 'Decide delivered or cancel.';
    end if;
  end if;

  update jobsdb.sends as s
  set
    state = case resolve_unknown.decision
      when 'delivered' then 'sent'
      when 'resend' then 'queued'
      else 'cancelled'
    end,
    reason = format('%s by %s', resolve_unknown.decision, v_reviewer),
    lease_token = null,
    may_be_out = false,
    not_before = now(),
    settled_at = case when resolve_unknown.decision <> 'resend' then now() end
  where s.id = v_send.id;
  if resolve_unknown.decision = 'delivered' then
    perform jobsdb.close_card(v_send);
    perform jobsdb.advance_contact(
      v_send.job_id, v_send.org_id, v_send.contact_key, v_send.touch, v_send.dispatched_at
    );
  elsif resolve_unknown.decision = 'cancel' then
    perform jobsdb.stop_contact(v_send.job_id, v_send.org_id, v_send.contact_key, 'cancelled');
  end if;
  return resolve_unknown.decision;
end;
$$;
revoke all on function jobsdb.resolve_unknown(bigint, text, uuid)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.resolve_unknown(bigint, text, uuid)
to authenticated, service_role;

comment on function jobsdb.resolve_unknown(bigint, text, uuid) is
'Body of public.resolve_unknown.
Source:  sql/functions/send/resolve_unknown.sql';

create or replace function public.resolve_unknown(
  send_id bigint,
  decision text,
  reviewer uuid default null
)
returns text
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select jobsdb.resolve_unknown(
    resolve_unknown.send_id, resolve_unknown.decision, resolve_unknown.reviewer
  );
end;
revoke all on function public.resolve_unknown(bigint, text, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.resolve_unknown(bigint, text, uuid)
to authenticated, service_role;

comment on function public.resolve_unknown(bigint, text, uuid) is
'A person decides about a send of which nobody knows whether it went out: its worker died while the provider was asked.
Units:   decision delivered (it was sent), resend or cancel; reviewer: who decides, for the service role; others are auth.uid().
Returns: the decision.
Errors:  JB003 nobody decides; JB011 no such decision; JB020 not found or not yours; JB030 it is not unknown; JB040 resend, but its job is finished; JB060 resend, but its recipient is suppressed.
Source:  sql/functions/send/resolve_unknown.sql';
