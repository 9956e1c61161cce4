-- bundle 5
-- A machine that opens a message, and an automatic reply, say nothing about the person: they are
-- kept and change nothing.
create or replace function public.record_send_event(
  provider text,
  provider_event_id text,
  event text,
  provider_message_id text default null,
  send_id bigint default null,
  happened_at timestamptz default null,
  detail jsonb default '{}'
)
returns text
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_send jobsdb.sends;
  v_stop jsonb;
begin
  if (
    record_send_event.event in (
      'delivered', 'bounce_hard', 'bounce_soft', 'complaint', 'open_human', 'open_machine',
      'click', 'reply', 'auto_reply', 'unsubscribe'
    )
    and length(record_send_event.provider) between 1 and 200
    and length(record_send_event.provider_event_id) between 1 and 500
  ) is not true then
    raise exception using
      errcode = 'JB011',
      message = 'this event cannot be recorded',
      detail = format(
        'provider %s, event id %s, event %s.',
        left(coalesce(record_send_event.provider, 'null'), 200),
        left(coalesce(record_send_event.provider_event_id, 'null'), 200),
        left(coalesce(record_send_event.event, 'null'), 200)
      ),
      hint = 'Events: delivered, bounce_hard, bounce_soft, complaint, open_human, open_machine, '
        || 'click, reply, auto_reply, unsubscribe.';
  end if;
  perform jobsdb.check_document('detail', record_send_event.detail);

  select s.*
  into v_send
  from jobsdb.sends as s
  where s.id = record_send_event.send_id
    or (
      record_send_event.send_id is null
      and s.provider = record_send_event.provider
      and s.provider_message_id = record_send_event.provider_message_id
    );
  if v_send.id is null then
    return 'not_found';
  end if;

  insert into jobsdb.send_events (
    org_id, send_id, provider, provider_event_id, event, detail, happened_at
  )
  values (
    v_send.org_id,
    v_send.id,
    record_send_event.provider,
    record_send_event.provider_event_id,
    record_send_event.event,
    coalesce(record_send_event.detail, '{}'),
    coalesce(record_send_event.happened_at, now())
  )
  on conflict on constraint send_events_provider_provider_event_id_key do nothing;
  if not found then
    return 'known';
  end if;

  if record_send_event.event in ('bounce_hard', 'complaint', 'unsubscribe') then
    perform jobsdb.suppress(v_send.org_id, 'address', v_send.recipient, record_send_event.event);
  elsif record_send_event.event = 'bounce_soft' and 3 <= (
    select count(*)
    from jobsdb.send_events as e
    inner join jobsdb.sends as s on s.id = e.send_id and s.org_id = e.org_id
    where e.org_id = v_send.org_id
      and e.event = 'bounce_soft'
      and lower(s.recipient) = lower(v_send.recipient)
      and e.happened_at > now() - interval '30 days'
  ) then
    perform jobsdb.suppress(
      v_send.org_id, 'address', v_send.recipient, 'bounce_soft', now() + interval '30 days'
    );
  end if;

  select j.params -> 'stop_on'
  into v_stop
  from public.jobs as j
  where j.id = v_send.job_id and j.org_id = v_send.org_id;
  if record_send_event.event in ('bounce_hard', 'complaint', 'unsubscribe')
    or (
      record_send_event.event = 'reply' and (v_stop -> 'reply') is distinct from 'false'
    ) then
    perform jobsdb.stop_contact(
      v_send.job_id, v_send.org_id, v_send.contact_key, record_send_event.event
    );
  end if;

  perform jobsdb.refreeze_job(v_send.job_id);
  return 'ok';
end;
$$;
revoke all on function public.record_send_event(
  text, text, text, text, bigint, timestamptz, jsonb
) from public, anon, authenticated, service_role;
grant execute on function public.record_send_event(
  text, text, text, text, bigint, timestamptz, jsonb
) to service_role;

comment on function public.record_send_event(
  text, text, text, text, bigint, timestamptz, jsonb
) is
'Notes what a provider reports about a send. A hard bounce, a complaint and an unsubscribe suppress the address and end the contact''s sequence; a reply ends it (params.stop_on.reply false: not); three soft bounces in 30 days suppress the address for 30 days. Service role only.
Units:   the send is named by send_id, or by provider and provider_message_id; happened_at null: now.
Returns: ok, known (this event id was noted before: nothing is done) or not_found: no send has that provider''s id, or not yet, before settle_send has noted it. Report it again later, or by send_id.
Errors:  JB011 bad event; JB012 detail too large or too deep.
Source:  sql/functions/send/record_send_event.sql';
