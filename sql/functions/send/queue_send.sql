-- bundle 5
create or replace function jobsdb.queue_send(
  card jsonb
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job public.jobs;
  v_place record := jobsdb.place_of_card(queue_send.card);
  v_address text := btrim(queue_send.card #>> '{content,to}');
  v_is_address boolean := jobsdb.is_address(v_address);
  v_earliest timestamptz;
  v_zone text;
  v_touch int := case when v_place.touch ~ '^[0-9]{1,9}$' then v_place.touch::int end;
begin
  select j.*
  into v_job
  from public.jobs as j
  where j.id = (queue_send.card ->> 'job_id')::uuid
    and j.org_id = (queue_send.card ->> 'org_id')::uuid;
  select c.time_zone
  into v_zone
  from jobsdb.job_contacts as c
  where c.job_id = v_job.id and c.org_id = v_job.org_id and c.contact_key = v_place.contact_key;
  -- The step that sends what this card's step has drafted may be for later.
  select s.scheduled_for
  into v_earliest
  from public.job_tasks as t
  inner join public.job_tasks as s
    on s.job_id = t.job_id
    and s.org_id = t.org_id
    and s.batch = t.batch
    and s.kind = 'send_email'
    and s.input ->> 'touch' is not distinct from t.input ->> 'touch'
  where t.id = (queue_send.card ->> 'task_id')::bigint and t.org_id = v_job.org_id
  order by s.step < t.step, abs(s.step - t.step)
  limit 1;

  insert into jobsdb.sends as s (
    org_id, job_id, contact_key, touch, card_id, idempotency_key, recipient, domain, mailbox,
    subject, body, content_hash, not_before, state, reason, settled_at
  )
  values (
    v_job.org_id,
    v_job.id,
    v_place.contact_key,
    v_place.touch,
    queue_send.card ->> 'id',
    encode(
      sha256(convert_to(
        jsonb_build_array(v_job.id, v_place.contact_key, v_place.touch)::text, 'UTF8'
      )),
      'hex'
    ),
    v_address,
    lower(split_part(v_address, '@', 2)),
    coalesce(v_job.params ->> 'mailbox', ''),
    queue_send.card #>> '{content,subject}',
    queue_send.card #>> '{content,body}',
    jobsdb.card_hash(queue_send.card),
    jobsdb.next_open(v_job.params, v_zone, greatest(now(), v_earliest)),
    case when v_is_address then 'queued' else 'failed' end,
    case when not v_is_address then 'bad_address' end,
    case when not v_is_address then now() end
  )
  on conflict on constraint sends_job_id_contact_key_touch_key do update
  set
    card_id = excluded.card_id,
    queued_at = excluded.queued_at,
    recipient = excluded.recipient,
    domain = excluded.domain,
    mailbox = excluded.mailbox,
    subject = excluded.subject,
    body = excluded.body,
    content_hash = excluded.content_hash,
    not_before = excluded.not_before,
    state = excluded.state,
    reason = excluded.reason,
    lease_token = null,
    locked_by = null,
    settled_at = excluded.settled_at
  -- Never a second e-mail for the same touch: only what did not go out is queued again.
  where s.state = 'cancelled'
    or (s.state in ('failed', 'suppressed') and s.card_id = excluded.card_id);

  -- A person wants it tried again; who has answered or unsubscribed is not written to all the same.
  update jobsdb.job_contacts as c
  set state = 'active', reason = null, next_touch = v_touch, updated_at = now()
  where v_touch is not null
    and c.job_id = v_job.id
    and c.org_id = v_job.org_id
    and c.contact_key = v_place.contact_key
    and c.state = 'stopped'
    and c.reason in ('failed', 'suppressed', 'not_written');
end;
$$;
revoke all on function jobsdb.queue_send(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.queue_send(jsonb) is
'Queues the e-mail of a card that was just approved, with the bytes that were approved, for when the sending window is open. A touch that was sent already, or is on its way, is not queued a second time.
Units:   card is to_jsonb() of the row.
Returns: nothing.
Errors:  none.
Source:  sql/functions/send/queue_send.sql';
