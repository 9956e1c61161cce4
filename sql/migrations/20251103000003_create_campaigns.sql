-- bundle 4
-- Campaigns: whom a job addresses, and how far each of them is.
--
-- Progress is never a cursor: one row says for every contact of a job which touch comes next and
-- when. Whoever is left out stays in the table with the reason, so that "5,040 contacts, 5 e-mails"
-- explains itself before the start.
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

-- --------------------------------------------------------------------------------------- contacts

create table jobsdb.contacts (
  org_id uuid not null,
  contact_key text not null,
  email text,
  groups text[] not null default '{}',
  attributes jsonb not null default '{}',
  time_zone text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contacts_pkey primary key (org_id, contact_key),
  constraint attributes_are_an_object check (jsonb_typeof(attributes) = 'object'),
  constraint contact_key_is_not_blank check (contact_key <> '')
);
alter table jobsdb.contacts enable row level security;
revoke all on jobsdb.contacts from public, anon, authenticated, service_role;
create index contacts_of_group on jobsdb.contacts using gin (groups);

comment on table jobsdb.contacts is
'People a campaign can address, where the host application binds no table of its own (jobsdb.bind_host_contacts). Written by upsert_contacts.';
comment on column jobsdb.contacts.org_id is 'The organisation they belong to.';
comment on column jobsdb.contacts.contact_key is 'The host''s id of the contact, any text.';
comment on column jobsdb.contacts.email is 'Address; null: none is known.';
comment on column jobsdb.contacts.groups is 'Groups the contact is in; params.target_group names them.';
comment on column jobsdb.contacts.attributes is 'What is known about the contact, a JSON object: variables of templates, and what params.target_filter is matched against by containment.';
comment on column jobsdb.contacts.time_zone is 'IANA name, such as America/New_York; null or unknown to the server: that of the job.';
comment on column jobsdb.contacts.created_at is 'When it was first given.';
comment on column jobsdb.contacts.updated_at is 'When it last changed.';

create table jobsdb.contact_source (
  only_row boolean not null default true,
  relation text not null,
  org_column text not null,
  key_column text not null,
  email_column text not null,
  groups_column text,
  attributes_column text,
  time_zone_column text,
  constraint contact_source_pkey primary key (only_row),
  constraint there_is_only_one_source check (only_row)
);
alter table jobsdb.contact_source enable row level security;
revoke all on jobsdb.contact_source from public, anon, authenticated, service_role;

comment on table jobsdb.contact_source is
'The host''s own table or view of contacts, when it has bound one; then jobsdb.contacts is not read. Set by jobsdb.bind_host_contacts.';
comment on column jobsdb.contact_source.only_row is 'Always true.';
comment on column jobsdb.contact_source.relation is 'The host''s table or view, with its schema, as SQL writes it.';
comment on column jobsdb.contact_source.org_column is 'Its column with the organisation, a uuid.';
comment on column jobsdb.contact_source.key_column is 'Its column with the id of the contact, of any type.';
comment on column jobsdb.contact_source.email_column is 'Its column with the address.';
comment on column jobsdb.contact_source.groups_column is 'Its column with the groups, text or text[]; null: it has none.';
comment on column jobsdb.contact_source.attributes_column is 'Its jsonb column with the attributes; null: every column is one.';
comment on column jobsdb.contact_source.time_zone_column is 'Its column with the time zone; null: it has none.';

-- ------------------------------------------------------------------------------------ suppressions

create table jobsdb.suppressions (
  id bigint generated always as identity,
  org_id uuid not null,
  scope text not null,
  value text not null,
  reason text not null,
  expires_at timestamptz,
  created_at timestamptz not null default now(),
  constraint suppressions_pkey primary key (id),
  constraint suppressions_org_id_scope_value_key unique (org_id, scope, value),
  constraint scope_is_known check (scope in ('address', 'domain', 'hash')),
  constraint value_is_lower_case check (value = lower(value))
);
alter table jobsdb.suppressions enable row level security;
revoke all on jobsdb.suppressions from public, anon, authenticated, service_role;
revoke all on sequence jobsdb.suppressions_id_seq
from public, anon, authenticated, service_role;

comment on table jobsdb.suppressions is
'Addresses and domains that get no e-mail. Looked at when an audience is frozen, and again before every send.';
comment on column jobsdb.suppressions.id is 'Order of arrival.';
comment on column jobsdb.suppressions.org_id is 'The organisation it binds; 00000000-0000-0000-0000-000000000000 binds all.';
comment on column jobsdb.suppressions.scope is 'address, domain, or hash: jobsdb.address_hash of an address that was erased.';
comment on column jobsdb.suppressions.value is 'The address or domain in lower case, or the hash in hex.';
comment on column jobsdb.suppressions.reason is 'Why: hard_bounce, complaint, unsubscribe, erased, or what a person wrote.';
comment on column jobsdb.suppressions.expires_at is 'Until when; null: for good.';
comment on column jobsdb.suppressions.created_at is 'When it was noted.';

-- -------------------------------------------------------------------------------------- audiences

create table jobsdb.job_keys (
  org_id uuid not null,
  idempotency_key text not null,
  job_id uuid not null,
  constraint job_keys_pkey primary key (org_id, idempotency_key),
  constraint idempotency_key_is_short check (length(idempotency_key) between 1 and 200)
);
alter table jobsdb.job_keys enable row level security;
revoke all on jobsdb.job_keys from public, anon, authenticated, service_role;
create index job_keys_of_job on jobsdb.job_keys (job_id);

comment on table jobsdb.job_keys is
'Which job create_job has made for which idempotency key; asked again, it returns that job.';
comment on column jobsdb.job_keys.org_id is 'The organisation.';
comment on column jobsdb.job_keys.idempotency_key is 'Any text of the caller''s, 1 to 200 characters.';
comment on column jobsdb.job_keys.job_id is 'The job.';

create table jobsdb.job_contacts (
  job_id uuid not null,
  org_id uuid not null,
  contact_key text not null,
  email text,
  address text,
  attributes jsonb not null,
  time_zone text,
  anchor_at timestamptz,
  next_touch int,
  state text not null,
  reason text,
  updated_at timestamptz not null default now(),
  constraint job_contacts_pkey primary key (job_id, contact_key),
  constraint job_contacts_job_id_address_key unique (job_id, address),
  constraint job_contact_state_is_known check (
    state in ('active', 'finished', 'stopped', 'excluded')
  ),
  constraint who_is_left_out_has_a_reason check (
    (state in ('stopped', 'excluded')) = (reason is not null)
  )
) with (fillfactor = 80);
alter table jobsdb.job_contacts enable row level security;
revoke all on jobsdb.job_contacts from public, anon, authenticated, service_role;
create index job_contacts_of_org on jobsdb.job_contacts (org_id, contact_key);

comment on table jobsdb.job_contacts is
'The audience of a job, frozen when it was enrolled: everybody who matched, also those who are left out, with the reason. No foreign key: its check would read and lock the job once for every contact; a trigger of jobs deletes them with it.';
comment on column jobsdb.job_contacts.job_id is 'The job.';
comment on column jobsdb.job_contacts.org_id is 'Its organisation.';
comment on column jobsdb.job_contacts.contact_key is 'The host''s id of the contact.';
comment on column jobsdb.job_contacts.email is 'Address at enrolment.';
comment on column jobsdb.job_contacts.address is 'The same in lower case, once in a job; null: excluded.';
comment on column jobsdb.job_contacts.attributes is 'Attributes at enrolment: the variables of templates.';
comment on column jobsdb.job_contacts.time_zone is 'Time zone the sending window is read in; null: that of the job.';
comment on column jobsdb.job_contacts.anchor_at is 'When the first touch was really sent; later ones are so many days after it.';
comment on column jobsdb.job_contacts.next_touch is 'Number of the touch that comes next or is under way, from 0; null: none is left.';
comment on column jobsdb.job_contacts.state is 'active, finished (all touches done), stopped (reply, bounce, rejection …) or excluded at enrolment.';
comment on column jobsdb.job_contacts.reason is 'Why it is stopped or excluded: no_address, bad_address, duplicate_address, suppressed, missing_variable, rejected, reply …';
comment on column jobsdb.job_contacts.updated_at is 'Last change.';

-- Beside the audience, so that planning a touch and sending it change no index of that.
create table jobsdb.due_contacts (
  job_id uuid not null,
  org_id uuid not null,
  contact_key text not null,
  due_at timestamptz not null,
  constraint due_contacts_pkey primary key (job_id, contact_key)
);
alter table jobsdb.due_contacts enable row level security;
revoke all on jobsdb.due_contacts from public, anon, authenticated, service_role;
create index due_contacts_by_time on jobsdb.due_contacts (job_id, due_at);
create index due_contacts_of_org on jobsdb.due_contacts (org_id);

comment on table jobsdb.due_contacts is
'Contacts whose next touch has a day: it is planned when that has come, and the row goes. In batch 0 all contacts are due and none is here.';
comment on column jobsdb.due_contacts.job_id is 'The job.';
comment on column jobsdb.due_contacts.org_id is 'Its organisation.';
comment on column jobsdb.due_contacts.contact_key is 'The contact.';
comment on column jobsdb.due_contacts.due_at is 'When its next touch may be planned.';

create table jobsdb.planned_jobs (
  job_id uuid not null,
  org_id uuid not null,
  batches int not null default 0,
  next_at timestamptz not null default now(),
  constraint planned_jobs_pkey primary key (job_id)
) with (fillfactor = 50);
alter table jobsdb.planned_jobs enable row level security;
revoke all on jobsdb.planned_jobs from public, anon, authenticated, service_role;
create index planned_jobs_by_org on jobsdb.planned_jobs (org_id);

comment on table jobsdb.planned_jobs is
'Jobs with an audience. Whoever holds the row plans the job''s next batch.';
comment on column jobsdb.planned_jobs.job_id is 'The job.';
comment on column jobsdb.planned_jobs.org_id is 'Its organisation.';
comment on column jobsdb.planned_jobs.batches is 'Batches planned so far.';
comment on column jobsdb.planned_jobs.next_at is 'When a runner should look whether somebody is due.';

-- ------------------------------------------------------------------------------------------ budget

create table jobsdb.job_usage (
  job_id uuid not null,
  org_id uuid not null,
  tokens_in bigint not null default 0,
  tokens_out bigint not null default 0,
  cost numeric not null default 0,
  updated_at timestamptz not null default now(),
  constraint job_usage_pkey primary key (job_id),
  constraint usage_is_not_negative check (tokens_in >= 0 and tokens_out >= 0 and cost >= 0)
) with (fillfactor = 50);
alter table jobsdb.job_usage enable row level security;
revoke all on jobsdb.job_usage from public, anon, authenticated, service_role;
create index job_usage_by_org on jobsdb.job_usage (org_id);

comment on table jobsdb.job_usage is
'What the agents of a job have used so far, as they report it (record_usage). params.budget caps it.';
comment on column jobsdb.job_usage.job_id is 'The job.';
comment on column jobsdb.job_usage.org_id is 'Its organisation.';
comment on column jobsdb.job_usage.tokens_in is 'Tokens sent to models.';
comment on column jobsdb.job_usage.tokens_out is 'Tokens models have written.';
comment on column jobsdb.job_usage.cost is 'Money, in the currency of params.budget.';
comment on column jobsdb.job_usage.updated_at is 'When it was last reported.';

-- ------------------------------------------------------------------------------------ review queue

-- Which cards wait cannot be told by an index of the host's table: the host may retype its state.
create table jobsdb.waiting_cards (
  id bigint generated always as identity,
  org_id uuid not null,
  job_id uuid not null,
  card_id text not null,
  since timestamptz not null default clock_timestamp(),
  constraint waiting_cards_pkey primary key (id),
  constraint waiting_cards_card_id_key unique (card_id)
);
alter table jobsdb.waiting_cards enable row level security;
revoke all on jobsdb.waiting_cards from public, anon, authenticated, service_role;
revoke all on sequence jobsdb.waiting_cards_id_seq
from public, anon, authenticated, service_role;
create index waiting_cards_by_time on jobsdb.waiting_cards (since, id);
create index waiting_cards_of_org on jobsdb.waiting_cards (org_id, since, id);
create index waiting_cards_of_job on jobsdb.waiting_cards (job_id, since);

comment on table jobsdb.waiting_cards is
'Linked cards that wait for a person, oldest first: what review_queue shows. Follows every change of a card.';
comment on column jobsdb.waiting_cards.id is 'Order of arrival.';
comment on column jobsdb.waiting_cards.org_id is 'The organisation.';
comment on column jobsdb.waiting_cards.job_id is 'The job.';
comment on column jobsdb.waiting_cards.card_id is 'The card, as text (a host''s card id may be of any type).';
comment on column jobsdb.waiting_cards.since is 'Since when it waits.';

-- ------------------------------------------ foreign keys, in one place, after all tables they join

alter table jobsdb.job_keys
add constraint job_key_names_a_job
foreign key (job_id, org_id) references public.jobs (id, org_id)
on delete cascade deferrable initially deferred;

alter table jobsdb.planned_jobs
add constraint planned_job_exists
foreign key (job_id, org_id) references public.jobs (id, org_id) on delete cascade;

alter table jobsdb.job_usage
add constraint job_usage_belongs_to_job_of_same_org
foreign key (job_id, org_id) references public.jobs (id, org_id) on delete cascade;
