-- bundle 5
-- A worker that was late still knows what happened: until somebody has decided about an unknown
-- send, its word counts.
create or replace function public.settle_send(
  send_id bigint,
  lease_token uuid,
  outcome text,
  provider text default null,
  provider_message_id text default null,
  reason text default null
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
  v_message_id text := nullif(settle_send.provider_message_id, '');
  v_outcome text := settle_send.outcome;
  v_reason text := settle_send.reason;
  v_card_id public.kanban_cards.id%type := (
    select s.card_id from jobsdb.sends as s where s.id = settle_send.send_id
  );
begin
  if (settle_send.outcome in ('sent', 'failed', 'retry')) is not true then
    raise exception using
      errcode = 'JB011',
      message = format('"%s" is no outcome of a send', coalesce(settle_send.outcome, 'null')),
      detail = 'A send was sent, failed for good, or is to be tried again.',
      hint = 'Use sent, failed or retry.';
  end if;
  -- Cards before sends, as everywhere.
  perform from public.kanban_cards as c where c.id = v_card_id for no key update;
  select s.*
  into v_send
  from jobsdb.sends as s
  where s.id = settle_send.send_id
  for no key update;

  if v_send.id is null then
    return 'not_found';
  elsif v_send.lease_token is distinct from settle_send.lease_token then
    return 'revoked';
  elsif v_send.state = settle_send.outcome
    or (settle_send.outcome, v_send.state) = ('retry', 'queued') then
    return 'ok';  -- told twice
  elsif v_send.state not in ('dispatching', 'unknown') then
    return 'revoked';
  end if;

  -- A provider that gives the same id twice, or none, must not cost the outcome.
  if exists (
    select from jobsdb.sends as s
    where s.provider = coalesce(settle_send.provider, v_send.provider, 'unnamed')
      and s.provider_message_id = v_message_id
      and s.id <> v_send.id
  ) then
    v_message_id := null;
  end if;
  -- A day's worth of pauses: a provider that still cannot take it never will.
  if v_outcome = 'retry' and v_send.attempt >= 25 then
    v_outcome := 'failed';
    v_reason := format('given up after %s attempts: %s', v_send.attempt, v_reason);
  end if;
  update jobsdb.sends as s
  set
    state = case v_outcome when 'retry' then 'queued' else v_outcome end,
    not_before = case v_outcome
      when 'retry'
        then now() + least(interval '1 hour', interval '30 seconds' * 2 ^ least(s.attempt, 20))
          * (0.5 + random() / 2)
      else s.not_before
    end,
    reason = left(v_reason, 1000),
    provider = coalesce(settle_send.provider, s.provider, 'unnamed'),
    provider_message_id = coalesce(v_message_id, s.provider_message_id),
    may_be_out = false,
    lease_expires_at = null,
    settled_at = case when v_outcome <> 'retry' then now() end
  where s.id = v_send.id;

  case v_outcome
    when 'sent' then
      perform jobsdb.close_card(v_send);
      perform jobsdb.advance_contact(
        v_send.job_id, v_send.org_id, v_send.contact_key, v_send.touch, v_send.dispatched_at
      );
    when 'failed' then
      perform jobsdb.stop_contact(v_send.job_id, v_send.org_id, v_send.contact_key, 'failed');
    else
      null;
  end case;
  return 'ok';
end;
$$;
revoke all on function public.settle_send(bigint, uuid, text, text, text, text)
from public, anon, authenticated, service_role;
grant execute on function public.settle_send(bigint, uuid, text, text, text, text)
to service_role;

comment on function public.settle_send(bigint, uuid, text, text, text, text) is
'Notes what the provider answered. Sent: the card is done and the contact''s next touch gets its day. Failed: the contact''s sequence ends. Retry: the provider surely did not take it, it is tried again after a pause. Service role only.
Units:   outcome sent, failed or retry (after a pause; the 25th time it has failed); reason is cut at 1,000 characters.
Returns: ok (also when told twice), revoked (somebody else''s, or decided already) or not_found.
Errors:  JB011 no such outcome.
Source:  sql/functions/send/settle_send.sql';
