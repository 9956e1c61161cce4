-- bundle 5
create or replace function public.begin_send(
  send_id bigint,
  lease_token uuid,
  knows_repeats boolean default false,
  lease interval default '1 minute',
  out verdict text,
  out idempotency_key text,
  out recipient text,
  out subject text,
  out body text,
  out mailbox text
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_send jobsdb.sends;
  v_problem text;
begin
  if (begin_send.lease > '0' and begin_send.lease <= '1 day') is not true then
    raise exception using
      errcode = 'JB011',
      message = format('lease cannot be %s', coalesce(begin_send.lease::text, 'null')),
      detail = 'It is how long the provider may take to answer.',
      hint = 'A minute is usual; at most a day.';
  end if;
  select s.*
  into v_send
  from jobsdb.sends as s
  where s.id = begin_send.send_id
  for no key update;

  if v_send.id is null then
    begin_send.verdict := 'not_found';
    return;
  elsif v_send.state <> 'leased'
    or v_send.lease_token is distinct from begin_send.lease_token
    or v_send.lease_expires_at <= clock_timestamp() then
    begin_send.verdict := 'revoked';
    return;
  end if;

  -- Asked before, by a worker that was lost: another provider, or one that has forgotten, would
  -- send it a second time.
  if v_send.may_be_out and not (
    coalesce(begin_send.knows_repeats, false)
    and v_send.dispatched_at > now() - interval '20 hours'
  ) then
    update jobsdb.sends as s
    set
      state = 'unknown',
      reason = 'the provider may have taken it and would not recognise the repeat',
      lease_expires_at = null
    where s.id = v_send.id;
    begin_send.verdict := 'unknown';
    return;
  end if;

  v_problem := jobsdb.may_go_out(v_send);
  if v_problem is not null then
    perform jobsdb.drop_send(v_send, v_problem);
    begin_send.verdict := case v_problem
      when 'wait' then 'paused'
      when 'later' then 'paused'
      when 'suppressed' then 'suppressed'
      else 'cancelled'
    end;
    return;
  end if;

  update jobsdb.sends as s
  set
    state = 'dispatching',
    attempt = s.attempt + 1,
    knows_repeats = coalesce(begin_send.knows_repeats, false),
    lease_expires_at = clock_timestamp() + begin_send.lease,
    dispatched_at = clock_timestamp()
  where s.id = v_send.id;
  begin_send.verdict := 'ok';
  begin_send.idempotency_key := v_send.idempotency_key;
  begin_send.recipient := v_send.recipient;
  begin_send.subject := v_send.subject;
  begin_send.body := v_send.body;
  begin_send.mailbox := v_send.mailbox;
end;
$$;
revoke all on function public.begin_send(bigint, uuid, boolean, interval)
from public, anon, authenticated, service_role;
grant execute on function public.begin_send(bigint, uuid, boolean, interval) to service_role;

comment on function public.begin_send(bigint, uuid, boolean, interval) is
'The gate before the provider: notes that it is being asked, once everything that could keep the e-mail back has been asked again. Commit, then ask the provider, then settle_send. Service role only.
Units:   knows_repeats: the provider recognises idempotency_key, so that a lost worker''s send may be repeated; lease: how long the provider may take, at most a day.
Returns: verdict ok, and what was approved; or revoked, not_found, paused (also: its window has closed), suppressed, cancelled or unknown (it may have gone out, a person decides), and nothing: do not send.
Errors:  JB011 bad lease.
Source:  sql/functions/send/begin_send.sql';
