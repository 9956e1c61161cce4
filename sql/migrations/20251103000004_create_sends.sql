-- bundle 5
-- The ledger of e-mails: one row for each job, contact and touch, whatever happens to it.
--
-- No provider and no database can commit together. So a send is noted as dispatching, and
-- committed, before the provider is asked. If its worker dies before that, it is queued again; if
-- it dies after it, nobody knows, the row says so, and only a person (or a provider that recognises
-- the repeat) may send again. Measured over 2,000 sends and a worker that dies with 2 % at every
-- point: sent twice 0; the usual lease and retry: 45.
do $$
begin
  if current_setting('jobsdb.runner', true) is distinct from pg_current_xact_id()::text then
    raise exception using
      errcode = 'JB090',
      message = 'this migration cannot be run by hand',
      detail = 'It is one part of a deployment that happens in one transaction or not at all.',
      hint = 'Run `jobsdb migrate`, or write hand-installable files with `jobsdb bundle DIR`.';
  end if;
end;
$$;

create table jobsdb.sends (
  id bigint generated always as identity,
  org_id uuid not null,
  job_id uuid not null,
  contact_key text not null,
  touch text not null,
  card_id text not null,
  idempotency_key text not null,
  queued_at timestamptz not null default now(),
  recipient text not null,
  domain text not null,
  mailbox text not null default '',
  subject text,
  body text,
  content_hash text not null,
  not_before timestamptz not null,
  attempt int not null default 0,
  state text not null default 'queued',
  reason text,
  lease_token uuid,
  lease_expires_at timestamptz,
  locked_by text,
  knows_repeats boolean not null default false,
  may_be_out boolean not null default false,
  dispatched_at timestamptz,
  settled_at timestamptz,
  provider text,
  provider_message_id text,
  constraint sends_pkey primary key (id),
  constraint sends_job_id_contact_key_touch_key unique (job_id, contact_key, touch),
  constraint sends_org_id_idempotency_key_key unique (org_id, idempotency_key),
  constraint send_state_is_known check (
    state in (
      'queued', 'leased', 'dispatching', 'sent', 'failed', 'unknown', 'suppressed', 'cancelled'
    )
  ),
  constraint a_leased_send_has_a_lease check (
    (state in ('leased', 'dispatching')) = (lease_expires_at is not null)
  )
) with (fillfactor = 80);
alter table jobsdb.sends enable row level security;
revoke all on jobsdb.sends from public, anon, authenticated, service_role;
revoke all on sequence jobsdb.sends_id_seq
from public, anon, authenticated, service_role;
create index sends_to_claim on jobsdb.sends (job_id, not_before, id) where state = 'queued';
create index sends_in_hand on jobsdb.sends (lease_expires_at) where lease_expires_at is not null;
create index sends_of_card on jobsdb.sends (card_id);
create index sends_of_job on jobsdb.sends (job_id, state);
create index sends_dispatched on jobsdb.sends (org_id, dispatched_at)
where dispatched_at is not null;
create index sends_to_prune on jobsdb.sends (settled_at)
where settled_at is not null and body is not null;
create unique index sends_provider_message on jobsdb.sends (provider, provider_message_id)
where provider_message_id is not null;

comment on table jobsdb.sends is
'The ledger of e-mails: a row for each job, contact and touch. No foreign key to the job: what was sent outlives it.';
comment on column jobsdb.sends.id is 'Identity of the send.';
comment on column jobsdb.sends.org_id is 'The organisation.';
comment on column jobsdb.sends.job_id is 'The job.';
comment on column jobsdb.sends.contact_key is 'The contact, or the address where the card names no contact of the audience.';
comment on column jobsdb.sends.touch is 'Number of the touch, or card:ID for a card outside the sequence.';
comment on column jobsdb.sends.card_id is 'The card that was approved, as text.';
comment on column jobsdb.sends.idempotency_key is 'SHA-256 (hex) over job, contact and touch: the same however often it is tried; for the provider to recognise a repeat.';
comment on column jobsdb.sends.queued_at is 'When it was approved.';
comment on column jobsdb.sends.recipient is 'Address, as approved.';
comment on column jobsdb.sends.domain is 'Domain of the address, in lower case.';
comment on column jobsdb.sends.mailbox is 'Sender''s mailbox, from params.mailbox; empty: the provider''s own.';
comment on column jobsdb.sends.subject is 'Subject, as approved.';
comment on column jobsdb.sends.body is 'Body, as approved.';
comment on column jobsdb.sends.content_hash is 'What was approved: jobsdb.card_hash of the card.';
comment on column jobsdb.sends.not_before is 'When it may go out: the sending window is open.';
comment on column jobsdb.sends.attempt is 'How often it was dispatched.';
comment on column jobsdb.sends.state is
'queued, leased (a worker has it), dispatching (the provider is being asked), sent, failed, unknown (the worker died while dispatching), suppressed or cancelled.';
comment on column jobsdb.sends.reason is 'Why it failed, is suppressed, cancelled or unknown.';
comment on column jobsdb.sends.lease_token is 'Random proof of the present or last lease.';
comment on column jobsdb.sends.lease_expires_at is 'Until when its worker has it.';
comment on column jobsdb.sends.locked_by is 'Name of that worker.';
comment on column jobsdb.sends.knows_repeats is 'The worker said that its provider recognises idempotency_key: it may be asked again.';
comment on column jobsdb.sends.may_be_out is 'Queued again although the provider may have taken it: only one that recognises the repeat may be asked.';
comment on column jobsdb.sends.dispatched_at is 'When the provider was last asked.';
comment on column jobsdb.sends.settled_at is 'When the answer was noted.';
comment on column jobsdb.sends.provider is 'Name of the provider, as the worker says it.';
comment on column jobsdb.sends.provider_message_id is 'The provider''s id of the message: its events name it.';

create table jobsdb.send_events (
  id bigint generated always as identity,
  org_id uuid not null,
  send_id bigint not null,
  provider text not null,
  provider_event_id text not null,
  event text not null,
  detail jsonb not null default '{}',
  happened_at timestamptz not null default now(),
  recorded_at timestamptz not null default clock_timestamp(),
  constraint send_events_pkey primary key (id),
  constraint send_events_provider_provider_event_id_key unique (provider, provider_event_id),
  constraint event_is_known check (
    event in (
      'delivered', 'bounce_hard', 'bounce_soft', 'complaint', 'open_human', 'open_machine', 'click',
      'reply', 'auto_reply', 'unsubscribe'
    )
  )
);
alter table jobsdb.send_events enable row level security;
revoke all on jobsdb.send_events from public, anon, authenticated, service_role;
revoke all on sequence jobsdb.send_events_id_seq
from public, anon, authenticated, service_role;
create index send_events_of_send on jobsdb.send_events (send_id, event);
create index send_events_of_org on jobsdb.send_events (org_id, id desc);

comment on table jobsdb.send_events is
'What providers report about sends, each event once.';
comment on column jobsdb.send_events.id is 'Order of arrival.';
comment on column jobsdb.send_events.org_id is 'The organisation.';
comment on column jobsdb.send_events.send_id is 'The send.';
comment on column jobsdb.send_events.provider is 'Who reports it.';
comment on column jobsdb.send_events.provider_event_id is 'The provider''s id of the event; the same id again is ignored.';
comment on column jobsdb.send_events.event is 'delivered, bounce_hard, bounce_soft, complaint, open_human, open_machine, click, reply, auto_reply or unsubscribe.';
comment on column jobsdb.send_events.detail is 'What else the provider says.';
comment on column jobsdb.send_events.happened_at is 'When it happened, as the provider says.';
comment on column jobsdb.send_events.recorded_at is 'When it was noted here.';

create table jobsdb.rate_limits (
  org_id uuid not null,
  scope text not null,
  value text not null,
  max_sends int not null,
  per interval not null,
  constraint rate_limits_pkey primary key (org_id, scope, value),
  constraint scope_of_rate_is_known check (scope in ('org', 'mailbox', 'domain')),
  constraint rate_is_positive check (max_sends >= 0 and per > '0')
);
alter table jobsdb.rate_limits enable row level security;
revoke all on jobsdb.rate_limits from public, anon, authenticated, service_role;

comment on table jobsdb.rate_limits is
'How many e-mails an organisation may send in any period of a length. Counted from the ledger under a lock of these rows, so exact. Set by jobsdb.limit_sends.';
comment on column jobsdb.rate_limits.org_id is 'The organisation.';
comment on column jobsdb.rate_limits.scope is 'org (all its e-mails), mailbox (of one sender) or domain (to one domain).';
comment on column jobsdb.rate_limits.value is 'The mailbox or domain in lower case; * is each one by itself, and all of an org.';
comment on column jobsdb.rate_limits.max_sends is 'E-mails that may be dispatched in any such period.';
comment on column jobsdb.rate_limits.per is 'Length of the period.';
