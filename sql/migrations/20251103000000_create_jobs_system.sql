-- bundle 1
-- Jobs and their tasks: the two tables everything else hangs on, and what keeps them honest.
--
-- A job is a campaign; its tasks are the steps an agent works on, planned batch by batch. The words
-- of their states stand in jobsdb.transitions, one row per legal move; guards, tests and diagrams
-- read them there. Counters live in jobs; a change that finds the row taken leaves a signed row in
-- jobsdb.job_deltas instead of waiting, and whoever next holds the row folds it in. Everything
-- private stands in schema jobsdb, which tenants cannot enter.
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

-- Whatever stands where ours should stand belongs to somebody: say whose it looks like, touch
-- nothing.
do $$
declare
  v_found text;
begin
  select string_agg(format('%s (%s)', o.name, o.kind), ', ' order by o.name)
  into v_found
  from (
    select
      format('%s.%s', n.nspname, c.relname) as name,
      case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as kind
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and (
        n.nspname = 'jobsdb'
        or (
          n.nspname = 'public'
          and c.relname in (
            'jobs', 'job_tasks', 'job_metrics', 'job_metrics_live', 'job_performance_summary',
            'recent_job_activity', 'review_queue'
          )
        )
      )
    union all
    select format('public.%s', t.typname), 'type'
    from pg_catalog.pg_type as t
    where t.typnamespace = 'public'::regnamespace
      and t.typname in ('job_status', 'task_status')
    union all
    select format('public.%s', p.proname), 'function'
    from pg_catalog.pg_proc as p
    where p.pronamespace = 'public'::regnamespace
      and p.proname in (
        'assert_lease', 'begin_send', 'cancel_job', 'claim_planning', 'claim_sends', 'claim_tasks',
        'complete_and_claim', 'complete_tasks', 'create_job', 'draft_cards', 'dry_run_job',
        'erase_contact', 'explain_job_params', 'export_contact', 'fail_tasks', 'get_job_cards',
        'get_job_metrics_for_org', 'get_job_progress', 'heartbeat_tasks', 'job_blockers',
        'pause_job', 'plan_next_batch', 'preview_job', 'record_send_event', 'record_usage',
        'refresh_job_metrics', 'release_tasks', 'render_template', 'resolve_unknown', 'resume_job',
        'retry_job', 'review_card', 'review_cards', 'settle_job', 'settle_send', 'tick',
        'transition_job_status', 'upsert_contacts', 'validate_job_params'
      )
    union all
    select n.nspname, 'schema'
    from pg_catalog.pg_namespace as n
    where n.nspname = 'jobsdb'
  ) as o;

  if v_found is null then
    return;
  end if;

  raise exception using
    errcode = 'JB092',
    message = 'objects that are not ours stand where jobsdb would put its own',
    detail = format('Found: %s.', v_found)
      || case
        when to_regclass('jobsdb.transitions') is not null
          then ' Schema jobsdb exists without a ledger entry: a migration file was run by hand.'
        when to_regclass('public.jobs') is not null and to_regclass('public.job_tasks') is not null
          then ' They look like an older jobs system made by hand: `jobsdb migrate --adopt` takes such'
            || ' a one over.'
        else ''
      end,
    hint = 'Rename them or move them to another schema (alter table … set schema …), then run'
      || ' `jobsdb migrate` again. Nothing was changed.';
end;
$$;

create schema jobsdb;
revoke all on schema jobsdb from public, anon, authenticated, service_role;

comment on schema jobsdb is
'Everything of jobsdb that is not its public interface: guards, counters, ledger, history. Never expose it to PostgREST.';

-- Domains, not enums: a new word can be used in the transaction that adds it, the wire type stays
-- text, and the check is compiled once per session (a CHECK on the column is parsed per statement).
create domain public.job_status as text
constraint job_status_is_known check (
  value in ('pending', 'running', 'succeeded', 'failed', 'cancelled')
);

create domain public.task_status as text
constraint task_status_is_known check (
  value in ('pending', 'running', 'done', 'error', 'skipped')
);

-- What default privileges of the deployer grant beside the usage everybody has.
revoke all on type public.job_status, public.task_status from anon, authenticated, service_role;

comment on domain public.job_status is
'State of a job: pending, running, succeeded, failed or cancelled; the last three are final. Moves: jobsdb.transitions.';
comment on domain public.task_status is
'State of a task: pending, running, done, error or skipped; done and skipped are final. Moves: jobsdb.transitions.';

-- -------------------------------------------------------------- what was installed, by which route

create table jobsdb.ledger (
  seq bigint generated always as identity,
  file text not null,
  sha256 text not null,
  release text not null,
  route text not null,
  applied_at timestamptz not null default clock_timestamp(),
  applied_by text not null default session_user,
  constraint ledger_pkey primary key (seq),
  constraint sha256_is_64_hex_digits check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint route_is_known check (route in ('migrate', 'bundle'))
);
alter table jobsdb.ledger enable row level security;
revoke all on jobsdb.ledger from public, anon, authenticated, service_role;

-- Second line of defence under the deployment lock: a migration happens once.
create unique index ledger_migration_once on jobsdb.ledger (file) where file like 'migrations/%';

comment on table jobsdb.ledger is
'What was applied, when, by whom and by which route; append-only. The last row of a file is its present state.';
comment on column jobsdb.ledger.seq is 'Order of application.';
comment on column jobsdb.ledger.file is 'Path below sql/ in the package, e.g. migrations/20251103000000_create_jobs_system.sql.';
comment on column jobsdb.ledger.sha256 is 'SHA-256 (hex) of the file with LF line ends and no byte order mark.';
comment on column jobsdb.ledger.release is 'Version of the package the file came from.';
comment on column jobsdb.ledger.route is 'migrate: `jobsdb migrate`; bundle: one of the hand-installable files.';
comment on column jobsdb.ledger.applied_at is 'When the file was applied.';
comment on column jobsdb.ledger.applied_by is 'The session user who applied it.';

-- --------------------------------------------------------------------- who belongs to which tenant

create table jobsdb.org_members (
  user_id uuid not null,
  org_id uuid not null,
  added_at timestamptz not null default now(),
  constraint org_members_pkey primary key (user_id, org_id)
);
alter table jobsdb.org_members enable row level security;
revoke all on jobsdb.org_members from public, anon, authenticated, service_role;
create index org_members_by_org on jobsdb.org_members (org_id);

comment on table jobsdb.org_members is
'Organisations a user belongs to beside the personal one (org_id = own user id, which needs no row).';
comment on column jobsdb.org_members.user_id is 'The user, as auth.uid() gives it.';
comment on column jobsdb.org_members.org_id is 'The organisation whose rows the user sees and changes.';
comment on column jobsdb.org_members.added_at is 'When the membership began.';

-- ------------------------------------------------------------------------------ the state machines

create table jobsdb.transitions (
  entity text not null,
  from_status text not null,
  to_status text not null,
  meaning text not null,
  constraint transitions_pkey primary key (entity, from_status, to_status),
  constraint entity_is_known check (entity in ('job', 'task', 'card'))
);
alter table jobsdb.transitions enable row level security;
revoke all on jobsdb.transitions from public, anon, authenticated, service_role;

comment on table jobsdb.transitions is
'Every legal move of a job, a task and a card. A move to the same state is a no-op; anything else is refused (JB001, JB002, JB003).';
comment on column jobsdb.transitions.entity is 'job, task or card.';
comment on column jobsdb.transitions.from_status is 'State before. A card state jobsdb does not know counts as in_review.';
comment on column jobsdb.transitions.to_status is 'State after.';
comment on column jobsdb.transitions.meaning is 'What the move means, in a few words.';

insert into jobsdb.transitions (entity, from_status, to_status, meaning) values
('job', 'pending', 'running', 'start'),
('job', 'pending', 'cancelled', 'cancel before the start'),
('job', 'running', 'succeeded', 'nothing is left to do'),
('job', 'running', 'failed', 'given up'),
('job', 'running', 'cancelled', 'cancel'),
('task', 'pending', 'running', 'claimed or started'),
('task', 'pending', 'done', 'finished without a claim'),
('task', 'pending', 'error', 'failed without a claim'),
('task', 'pending', 'skipped', 'not needed any more'),
('task', 'running', 'done', 'finished'),
('task', 'running', 'error', 'failed'),
('task', 'running', 'skipped', 'not needed any more'),
('task', 'running', 'pending', 'released or rescued'),
('task', 'error', 'pending', 'retry'),
('task', 'error', 'skipped', 'given up'),
('card', 'in_review', 'approved', 'a person says yes'),
('card', 'in_review', 'rejected', 'a person says no'),
('card', 'in_review', 'done', 'executed; only when the job is not in review mode'),
('card', 'approved', 'in_review', 'back to the reviewer'),
('card', 'approved', 'rejected', 'approval withdrawn'),
('card', 'approved', 'done', 'executed'),
('card', 'rejected', 'in_review', 'shown again');

create table jobsdb.task_kinds (
  kind text not null,
  meaning text not null,
  example_input jsonb not null,
  max_retries int not null default 3,
  backoff interval not null default '10 seconds',
  backoff_limit interval not null default '1 hour',
  constraint task_kinds_pkey primary key (kind),
  constraint max_retries_is_not_negative check (max_retries >= 0),
  constraint backoff_is_positive check (backoff > '0' and backoff_limit >= backoff)
);
alter table jobsdb.task_kinds enable row level security;
revoke all on jobsdb.task_kinds from public, anon, authenticated, service_role;

comment on table jobsdb.task_kinds is
'The kinds of task agents know. An insert of any other kind is refused (JB011); add a row to add a kind.';
comment on column jobsdb.task_kinds.kind is 'Word used in job_tasks.kind and as kanban_cards.type.';
comment on column jobsdb.task_kinds.meaning is 'What an agent does with such a task.';
comment on column jobsdb.task_kinds.example_input is 'Documented input, as an example.';
comment on column jobsdb.task_kinds.max_retries is 'How often a task of this kind is tried again, where it does not say itself.';
comment on column jobsdb.task_kinds.backoff is 'Pause before the first retry; doubled for each further one, and spread at random by half.';
comment on column jobsdb.task_kinds.backoff_limit is 'The longest pause.';

insert into jobsdb.task_kinds (kind, meaning, example_input) values
(
  'draft_email',
  'write one e-mail per contact, as a card',
  '{"contact_ids": ["c1"], "template": "intro", "variables": {}}'
),
(
  'send_email',
  'send approved cards: one, or those of the nearest earlier draft step',
  '{"wait_for_approval": true, "scheduled_for": "2026-01-31T09:00:00Z"}'
),
(
  'create_task',
  'create a task for a person',
  '{"contact_id": "c1", "type": "call", "due_date": "2026-01-31"}'
),
(
  'schedule_call',
  'put a call into the calendar',
  '{"contact_id": "c1", "datetime": "2026-01-31T09:00:00Z", "duration": 30}'
),
(
  'check_portal',
  'look into a client''s portal',
  '{"client_id": "c1"}'
),
(
  'update_profile',
  'change fields of a contact',
  '{"contact_id": "c1", "fields": {}}'
),
(
  'research',
  'find something out',
  '{"target_id": "c1", "research_type": "company"}'
),
(
  'follow_up',
  'get back to a contact',
  '{"contact_id": "c1", "notes": "…"}'
),
(
  'create_deal',
  'open a deal',
  '{"contact_id": "c1", "amount": 1000, "stage": "new"}'
);

-- -------------------------------------------------------------------------------------------- jobs

create table public.jobs (
  id uuid not null default gen_random_uuid(),
  org_id uuid not null default auth.uid(),
  created_by uuid,
  created_at timestamptz not null default now(),
  name text not null,
  description text,
  params jsonb not null default '{}',
  status public.job_status not null default 'pending',
  started_at timestamptz,
  finished_at timestamptz,
  paused_at timestamptz,
  updated_at timestamptz not null default now(),
  tasks_total int not null default 0,
  tasks_done int not null default 0,
  tasks_error int not null default 0,
  tasks_skipped int not null default 0,
  cards_total int not null default 0,
  cards_in_review int not null default 0,
  cards_approved int not null default 0,
  cards_rejected int not null default 0,
  cards_done int not null default 0,
  cards_other int not null default 0,
  constraint jobs_pkey primary key (id),
  constraint jobs_id_org_id_key unique (id, org_id)
) with (fillfactor = 80);  -- counters change in place: leave room for HOT updates
alter table public.jobs enable row level security;
revoke all on public.jobs from public, anon, authenticated, service_role;
create index jobs_newest_of_org on public.jobs (org_id, created_at desc);
create index jobs_open on public.jobs (org_id) where status in ('pending', 'running');

comment on table public.jobs is
'A campaign: what to do (params), how far it is (status, counters), whose it is (org_id). Status moves: jobsdb.transitions.';
comment on column public.jobs.id is 'Identity of the job; given by the database.';
comment on column public.jobs.org_id is 'The organisation it belongs to; never changes. Default: the caller''s personal organisation.';
comment on column public.jobs.created_by is 'auth.uid() of the creator, null when nobody was identified.';
comment on column public.jobs.created_at is 'When the job was created.';
comment on column public.jobs.name is 'What people call it; 1 to 200 characters.';
comment on column public.jobs.description is 'Free text.';
comment on column public.jobs.params is 'What the campaign should do, a JSON object: target_group, target_filter, cadence, templates, review_mode, batch_size; unknown keys are kept. At most 1 MiB and 40 levels.';
comment on column public.jobs.status is 'pending, running, succeeded, failed or cancelled.';
comment on column public.jobs.started_at is 'When it first ran.';
comment on column public.jobs.finished_at is 'When it succeeded, failed or was cancelled.';
comment on column public.jobs.paused_at is 'Since when nothing of it may be claimed; null: not paused. Set by pause_job and resume_job.';
comment on column public.jobs.updated_at is 'Last change of the row, counters included.';
comment on column public.jobs.tasks_total is 'Number of tasks.';
comment on column public.jobs.tasks_done is 'Tasks in state done.';
comment on column public.jobs.tasks_error is 'Tasks in state error.';
comment on column public.jobs.tasks_skipped is 'Tasks in state skipped; in a failed or cancelled job all that are neither done nor error.';
comment on column public.jobs.cards_total is 'Number of linked cards.';
comment on column public.jobs.cards_in_review is 'Linked cards waiting for a person.';
comment on column public.jobs.cards_approved is 'Linked cards approved and not yet executed.';
comment on column public.jobs.cards_rejected is 'Linked cards a person said no to.';
comment on column public.jobs.cards_done is 'Linked cards executed.';
comment on column public.jobs.cards_other is 'Linked cards in a state only the host application knows; they count as waiting.';

create table jobsdb.runnable_jobs (
  job_id uuid not null,
  org_id uuid not null,
  since timestamptz not null default now(),
  is_limited boolean not null default false,
  marks jsonb not null default '{}',
  constraint runnable_jobs_pkey primary key (job_id)
) with (fillfactor = 50);
alter table jobsdb.runnable_jobs enable row level security;
revoke all on jobsdb.runnable_jobs from public, anon, authenticated, service_role;
create index runnable_jobs_by_org on jobsdb.runnable_jobs (org_id, since);

comment on table jobsdb.runnable_jobs is
'The jobs whose tasks may be claimed: running and not paused. Start, pause, resume and cancel touch one row here, however many tasks the job has.';
comment on column jobsdb.runnable_jobs.job_id is 'The job.';
comment on column jobsdb.runnable_jobs.org_id is 'Its organisation.';
comment on column jobsdb.runnable_jobs.since is 'When it became runnable.';
comment on column jobsdb.runnable_jobs.is_limited is 'Whether its organisation has a row in jobsdb.work_limits.';
comment on column jobsdb.runnable_jobs.marks is
'Kind of task → pos below which hardly any is left. Where a snapshot is held for long, a claim would read all row versions below it; moved rarely, and wrong without harm.';

create table jobsdb.closed_jobs (
  job_id uuid not null,
  org_id uuid not null,
  closed_at timestamptz not null default now(),
  constraint closed_jobs_pkey primary key (job_id)
);
alter table jobsdb.closed_jobs enable row level security;
revoke all on jobsdb.closed_jobs from public, anon, authenticated, service_role;
create index closed_jobs_by_org on jobsdb.closed_jobs (org_id);

comment on table jobsdb.closed_jobs is
'Failed and cancelled jobs whose open task rows still have to be marked skipped; jobsdb.finish_closed_jobs works it off.';
comment on column jobsdb.closed_jobs.job_id is 'The job.';
comment on column jobsdb.closed_jobs.org_id is 'Its organisation.';
comment on column jobsdb.closed_jobs.closed_at is 'When it failed or was cancelled.';

-- Appended without looking whether a job is noted already: a unique key would make a late
-- completion wait for a refresh that is just working the note off.
create table jobsdb.unfrozen_jobs (
  id bigint generated always as identity,
  job_id uuid not null,
  org_id uuid not null,
  changed_at timestamptz not null default now(),
  constraint unfrozen_jobs_pkey primary key (job_id, id)
);
alter table jobsdb.unfrozen_jobs enable row level security;
revoke all on jobsdb.unfrozen_jobs from public, anon, authenticated, service_role;
create index unfrozen_jobs_by_org on jobsdb.unfrozen_jobs (org_id);

comment on table jobsdb.unfrozen_jobs is
'Finished jobs that changed since their metrics were frozen; refresh_job_metrics() freezes them anew.';
comment on column jobsdb.unfrozen_jobs.id is 'Order of arrival.';
comment on column jobsdb.unfrozen_jobs.job_id is 'The job.';
comment on column jobsdb.unfrozen_jobs.org_id is 'Its organisation.';
comment on column jobsdb.unfrozen_jobs.changed_at is 'When it finished, or changed after that.';

-- ------------------------------------------------------------------------------------------- tasks

create sequence jobsdb.task_order as bigint;
revoke all on sequence jobsdb.task_order from public, anon, authenticated, service_role;

comment on sequence jobsdb.task_order is 'Source of job_tasks.pos, the order in which ready tasks are claimed.';

-- Columns written once come first and those that change last: an UPDATE in the same page then logs
-- only the tail of the row (measured: a fifth less WAL per task).
create table public.job_tasks (
  id bigint generated always as identity,
  job_id uuid not null,
  org_id uuid not null default auth.uid(),
  created_at timestamptz not null default now(),
  batch int not null default 0,
  step int not null,
  kind text not null,
  input jsonb not null default '{}',
  depends_on int[],
  priority int not null default 0,
  max_retries int,
  scheduled_for timestamptz,
  waits_on int,
  waits_until timestamptz,
  pos bigint,
  retry_count int not null default 0,
  attempt int not null default 0,
  started_at timestamptz,
  finished_at timestamptz,
  lease_expires_at timestamptz,
  lease_token uuid,
  rev int not null default 0,
  status public.task_status not null default 'pending',
  locked_by text,
  output jsonb,
  error_message text,
  constraint job_tasks_pkey primary key (id),
  constraint job_tasks_job_id_batch_step_key unique (job_id, batch, step)
) with (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 0
);
alter table public.job_tasks enable row level security;
revoke all on public.job_tasks from public, anon, authenticated, service_role;

-- All indexes of this table; each further one costs about 80 bytes of WAL a task. None names the
-- status or the lease, so that the end of a task and a heartbeat are updates in place (HOT).
create index job_tasks_newest_of_org on public.job_tasks (org_id, id desc);
create index job_tasks_ready on public.job_tasks (job_id, kind, pos)
where pos is not null;
create index job_tasks_later on public.job_tasks (job_id, waits_until)
where waits_until is not null;
-- Only tasks with an unfinished dependency are in it: who waits for the step that just ended?
create index job_tasks_waiting on public.job_tasks (job_id, batch, waits_on)
where waits_on is not null;

comment on table public.job_tasks is
'A step of a job, worked on by an agent. Status moves: jobsdb.transitions; plain SQL and the worker functions obey the same rules.';
comment on column public.job_tasks.id is 'Identity of the task; given by the database.';
comment on column public.job_tasks.job_id is 'The job; never changes.';
comment on column public.job_tasks.org_id is 'Organisation of the job; filled from it, never changes.';
comment on column public.job_tasks.created_at is 'When the task was planned.';
comment on column public.job_tasks.batch is 'Planning round: 0 with the job, later ones from results.';
comment on column public.job_tasks.step is 'Number within the batch.';
comment on column public.job_tasks.kind is 'What to do: a row of jobsdb.task_kinds.';
comment on column public.job_tasks.input is 'What to do it with, a JSON object; documented per kind in jobsdb.task_kinds. At most 1 MiB and 40 levels.';
comment on column public.job_tasks.depends_on is 'Lower steps of the same batch that must be done or skipped first; {} means none, null all lower steps present at the insert.';
comment on column public.job_tasks.priority is 'Higher is claimed earlier within the job.';
comment on column public.job_tasks.max_retries is 'How often it is tried again after a failure or a lost worker; null: as its kind says.';
comment on column public.job_tasks.scheduled_for is 'Not before this time; null: at once. Taken from input.scheduled_for when not given.';
comment on column public.job_tasks.waits_on is 'The highest unfinished step it depends on; null: waits for no step.';
comment on column public.job_tasks.waits_until is 'The time it waits for, when it waits for no step; null: for none.';
comment on column public.job_tasks.pos is 'Claim order, lower is earlier, priority included; null: not claimable. Of a pending task exactly one of waits_on, waits_until and pos is set, of any other none.';
comment on column public.job_tasks.retry_count is 'Retries so far; plain SQL counts them itself.';
comment on column public.job_tasks.attempt is 'How often it was claimed.';
comment on column public.job_tasks.started_at is 'Start of the present or last run.';
comment on column public.job_tasks.finished_at is 'When it became done, error or skipped.';
comment on column public.job_tasks.lease_expires_at is 'Until when its worker holds it; null: it runs by plain SQL, and nobody takes it away.';
comment on column public.job_tasks.lease_token is 'Random proof of the present lease; any other token is stale.';
comment on column public.job_tasks.rev is 'Changed only by functions that have proved the move themselves; every other UPDATE is guarded.';
comment on column public.job_tasks.status is 'pending, running, done, error or skipped.';
comment on column public.job_tasks.locked_by is 'Name the worker gave when it claimed.';
comment on column public.job_tasks.output is 'What the agent returned. At most 1 MiB and 40 levels.';
comment on column public.job_tasks.error_message is 'Why it failed.';

-- One row a claim and job, not a task: a batch of a hundred costs one insert and one delete. It
-- says where the running tasks are; whether they still run, and until when, their own rows say. No
-- foreign key: its check would lock the busiest row, that of the job.
create table jobsdb.leases (
  job_id uuid not null,
  org_id uuid not null,
  token uuid not null,
  look_at timestamptz not null,
  task_ids bigint[] not null,
  constraint leases_pkey primary key (job_id, token)
) with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
alter table jobsdb.leases enable row level security;
revoke all on jobsdb.leases from public, anon, authenticated, service_role;

comment on table jobsdb.leases is
'Where the running tasks of a job are: every running task is named by the row of its lease token. Rows whose tasks have all moved on are removed by whoever looks for expired leases.';
comment on column jobsdb.leases.job_id is 'The job.';
comment on column jobsdb.leases.org_id is 'Its organisation.';
comment on column jobsdb.leases.token is 'The lease token of the tasks.';
comment on column jobsdb.leases.look_at is 'When to look whether the lease has expired; infinity for a task that runs by plain SQL.';
comment on column jobsdb.leases.task_ids is 'The tasks claimed with it, also those that have ended since.';

create type jobsdb.claimed_task as (
  id bigint,
  job_id uuid,
  org_id uuid,
  batch int,
  step int,
  kind text,
  input jsonb,
  attempt int,
  retry_count int,
  lease_token uuid,
  lease_expires_at timestamptz,
  verdicts text[]  -- noqa: LT01
);
revoke all on type jobsdb.claimed_task from anon, authenticated, service_role;

comment on type jobsdb.claimed_task is
'What a worker is told of a task it has claimed. lease_token is the same for all tasks of a call; verdicts are those of complete_and_claim, the same in every row.';

-- How much of its work an organisation may have done at once and per window; no row: as much as
-- there is. The row is held while tasks are claimed, so the limits are exact.
create table jobsdb.work_limits (
  org_id uuid not null,
  kind text not null,
  max_running int,
  max_starts int,
  per interval,
  window_began_at timestamptz not null default '-infinity',
  starts int not null default 0,
  constraint work_limits_pkey primary key (org_id, kind),
  constraint a_rate_has_a_window check ((max_starts is null) = (per is null)),
  constraint something_is_limited check (max_running is not null or max_starts is not null),
  constraint limits_are_not_negative check (max_running >= 0 and max_starts >= 0 and per > '0')
) with (fillfactor = 50);
alter table jobsdb.work_limits enable row level security;
revoke all on jobsdb.work_limits from public, anon, authenticated, service_role;

comment on table jobsdb.work_limits is
'Limits for the tasks of an organisation, of one kind or, with kind *, of all together. Set by jobsdb.limit_work.';
comment on column jobsdb.work_limits.org_id is 'The organisation.';
comment on column jobsdb.work_limits.kind is 'A kind of task, or * for all of them together.';
comment on column jobsdb.work_limits.max_running is 'Tasks that may run at once; null: any number.';
comment on column jobsdb.work_limits.max_starts is 'Tasks that may be claimed in one window; null: any number.';
comment on column jobsdb.work_limits.per is 'Length of a window.';
comment on column jobsdb.work_limits.window_began_at is 'Beginning of the present window: with the first claim after the last one.';
comment on column jobsdb.work_limits.starts is 'Tasks claimed in the present window.';

-- A step that may have ended unseen while another transaction planned on it: looked at again later,
-- so that neither of the two ever waits for the other.
create table jobsdb.missed_steps (
  id bigint generated always as identity,
  job_id uuid not null,
  org_id uuid not null,
  batch int not null,
  step int not null,
  xid xid8 not null default pg_current_xact_id(),
  by_its_end boolean not null default false,
  noted_at timestamptz not null default now(),
  constraint missed_steps_pkey primary key (job_id, batch, step, id)
);
alter table jobsdb.missed_steps enable row level security;
revoke all on jobsdb.missed_steps from public, anon, authenticated, service_role;
create index missed_steps_by_org on jobsdb.missed_steps (org_id);

comment on table jobsdb.missed_steps is
'Steps whose dependents have to be looked at again: the step was being changed when they asked for it. Worked off by jobsdb.release_missed.';
comment on column jobsdb.missed_steps.id is 'Order of arrival.';
comment on column jobsdb.missed_steps.job_id is 'The job.';
comment on column jobsdb.missed_steps.org_id is 'Its organisation.';
comment on column jobsdb.missed_steps.batch is 'The batch.';
comment on column jobsdb.missed_steps.step is 'The step some task waits on.';
comment on column jobsdb.missed_steps.xid is 'The transaction that made the note.';
comment on column jobsdb.missed_steps.by_its_end is
'True: whoever ends the step made the note. False: somebody who planned on it.';
comment on column jobsdb.missed_steps.noted_at is 'When the note was made.';

-- ---------------------------------------------------------------------------------------- counters

create table jobsdb.job_deltas (
  id bigint generated always as identity,
  job_id uuid not null,
  org_id uuid not null,
  xid xid8 not null default pg_current_xact_id(),
  folds_at_commit boolean not null default false,
  tasks_total int not null default 0,
  tasks_done int not null default 0,
  tasks_error int not null default 0,
  tasks_skipped int not null default 0,
  cards_total int not null default 0,
  cards_in_review int not null default 0,
  cards_approved int not null default 0,
  cards_rejected int not null default 0,
  cards_done int not null default 0,
  cards_other int not null default 0,
  constraint job_deltas_pkey primary key (job_id, id)
) with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
alter table jobsdb.job_deltas enable row level security;
revoke all on jobsdb.job_deltas from public, anon, authenticated, service_role;

comment on table jobsdb.job_deltas is
'Signed changes of a job''s counters that could not be written into jobs without waiting. jobs plus its deltas is exact in every snapshot.';
comment on column jobsdb.job_deltas.id is 'Order of arrival.';
comment on column jobsdb.job_deltas.job_id is 'The job.';
comment on column jobsdb.job_deltas.org_id is 'Its organisation.';
comment on column jobsdb.job_deltas.xid is 'The transaction that left it.';
comment on column jobsdb.job_deltas.folds_at_commit is 'Whether that transaction tries to fold it when it commits.';
comment on column jobsdb.job_deltas.tasks_total is 'Change of jobs.tasks_total.';
comment on column jobsdb.job_deltas.tasks_done is 'Change of jobs.tasks_done.';
comment on column jobsdb.job_deltas.tasks_error is 'Change of jobs.tasks_error.';
comment on column jobsdb.job_deltas.tasks_skipped is 'Change of jobs.tasks_skipped.';
comment on column jobsdb.job_deltas.cards_total is 'Change of jobs.cards_total.';
comment on column jobsdb.job_deltas.cards_in_review is 'Change of jobs.cards_in_review.';
comment on column jobsdb.job_deltas.cards_approved is 'Change of jobs.cards_approved.';
comment on column jobsdb.job_deltas.cards_rejected is 'Change of jobs.cards_rejected.';
comment on column jobsdb.job_deltas.cards_done is 'Change of jobs.cards_done.';
comment on column jobsdb.job_deltas.cards_other is 'Change of jobs.cards_other.';

-- ----------------------------------------------------------------------------- what metrics add up

-- Reading five million tasks to say how many of each kind are done would take seconds at each
-- refresh. So whoever moves tasks leaves a row here, and the refresh adds them up. Not unlogged,
-- though a task would then write a fifth less of log: when the server is killed while a
-- transaction that makes an unlogged table is undone, PostgreSQL (15 to 18) finds the file of the
-- table at the next start and gives up ("could not create file", File exists).
create table jobsdb.task_moves (
  job_id uuid not null,
  org_id uuid not null,
  task_id bigint,
  task_ids bigint[],
  kind text,
  total int,
  done int,
  error int,
  skipped int,
  retries bigint,
  starts_anew boolean
) with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_cost_delay = 0
);
alter table jobsdb.task_moves enable row level security;
revoke all on jobsdb.task_moves from public, anon, authenticated, service_role;
create index task_moves_of_job on jobsdb.task_moves (job_id);

comment on table jobsdb.task_moves is
'What has happened to tasks since jobsdb.task_rollups was brought up to date. Null is nothing, and costs nothing.';
comment on column jobsdb.task_moves.job_id is 'The job.';
comment on column jobsdb.task_moves.org_id is 'Its organisation.';
comment on column jobsdb.task_moves.task_id is 'A task that has moved.';
comment on column jobsdb.task_moves.task_ids is 'Tasks that have moved, all in the same way.';
comment on column jobsdb.task_moves.kind is 'The kind of tasks that are new.';
comment on column jobsdb.task_moves.total is 'Number of new tasks of that kind.';
comment on column jobsdb.task_moves.done is 'What each of them adds to the number done: 1.';
comment on column jobsdb.task_moves.error is 'What each adds to the number in error: 1, 0 or -1.';
comment on column jobsdb.task_moves.skipped is 'What each adds to the number skipped: 1.';
comment on column jobsdb.task_moves.retries is 'Change of the sum of retry_count, of all together.';
comment on column jobsdb.task_moves.starts_anew is 'Tasks were deleted, or times of ended ones changed: the sums of the job are made from its tasks again.';

-- A distribution, exact up to 1,000 different values; beyond that to one per cent.
create type jobsdb.sketch as (
  seconds float8[],  -- noqa: LT01
  counts bigint[]  -- noqa: LT01
);
revoke all on type jobsdb.sketch from anon, authenticated, service_role;

comment on type jobsdb.sketch is
'How often a duration has occurred: seconds in rising order, and how often each.';

create table jobsdb.task_rollups (
  job_id uuid not null,
  org_id uuid not null,
  kinds jsonb not null default '{}',
  retries bigint not null default 0,
  run jobsdb.sketch not null default row('{}', '{}'),
  wait jobsdb.sketch not null default row('{}', '{}'),
  constraint task_rollups_pkey primary key (job_id)
);
alter table jobsdb.task_rollups enable row level security;
revoke all on jobsdb.task_rollups from public, anon, authenticated, service_role;
create index task_rollups_by_org on jobsdb.task_rollups (org_id);

comment on table jobsdb.task_rollups is
'Sums over the tasks of a job, as of the last refresh; together with jobsdb.task_moves exact in every snapshot (jobsdb.rollup_of). No row: nothing was summed up yet. No foreign key: its check would make a status change wait for a refresh.';
comment on column jobsdb.task_rollups.job_id is 'The job.';
comment on column jobsdb.task_rollups.org_id is 'Its organisation.';
comment on column jobsdb.task_rollups.kinds is 'Number of tasks as {kind: {total, done, error, skipped}}.';
comment on column jobsdb.task_rollups.retries is 'Sum of retry_count over all tasks.';
comment on column jobsdb.task_rollups.run is 'Seconds from start to end of the tasks that are done.';
comment on column jobsdb.task_rollups.wait is 'Seconds those waited, from creation or the scheduled time to their start.';

-- ----------------------------------------------------------------------------------------- history

create table jobsdb.events (
  id bigint generated always as identity,
  org_id uuid not null,
  job_id uuid not null,
  entity text not null,
  entity_id text not null,
  old_status text,
  new_status text not null,
  actor uuid,
  actor_role text not null,
  happened_at timestamptz not null default clock_timestamp(),
  constraint events_pkey primary key (id),
  constraint event_entity_is_known check (entity in ('job', 'card', 'send'))
);
alter table jobsdb.events enable row level security;
revoke all on jobsdb.events from public, anon, authenticated, service_role;
create index events_newest_of_org on jobsdb.events (org_id, id desc);
create index events_by_job on jobsdb.events (job_id, id desc);

comment on table jobsdb.events is
'Moves of jobs, decisions about cards and what became of e-mails, append-only. No foreign key: history outlives the job.';
comment on column jobsdb.events.id is 'Order of arrival.';
comment on column jobsdb.events.org_id is 'The organisation.';
comment on column jobsdb.events.job_id is 'The job.';
comment on column jobsdb.events.entity is 'job, card or send.';
comment on column jobsdb.events.entity_id is 'Its id, as text (a host''s card id may be of any type).';
comment on column jobsdb.events.old_status is 'State before; null: it did not exist or was not linked.';
comment on column jobsdb.events.new_status is 'State after.';
comment on column jobsdb.events.actor is 'auth.uid() of who did it, null when nobody was identified.';
comment on column jobsdb.events.actor_role is 'The database role that did it.';
comment on column jobsdb.events.happened_at is 'When.';

-- ------------------------------------------------------------------------------------- host tables

create table jobsdb.host_tables (
  table_name text not null,
  made_by_jobsdb boolean not null,
  constraint host_tables_pkey primary key (table_name)
);
alter table jobsdb.host_tables enable row level security;
revoke all on jobsdb.host_tables from public, anon, authenticated, service_role;

comment on table jobsdb.host_tables is
'The tables jobsdb shares with its host application: kanban_cards and agent_runs.';
comment on column jobsdb.host_tables.table_name is 'Name in schema public.';
comment on column jobsdb.host_tables.made_by_jobsdb is
'True: the host had none, so its policies and grants are ours. False: adopted, only our links were added.';

-- ------------------------------------------ foreign keys, in one place, after all tables they join

alter table public.job_tasks
add constraint job_tasks_belongs_to_job_of_same_org
foreign key (job_id, org_id) references public.jobs (id, org_id) on delete cascade;

alter table jobsdb.runnable_jobs
add constraint runnable_job_exists
foreign key (job_id, org_id) references public.jobs (id, org_id) on delete cascade;

alter table jobsdb.closed_jobs
add constraint closed_job_exists
foreign key (job_id, org_id) references public.jobs (id, org_id) on delete cascade;

alter table jobsdb.unfrozen_jobs
add constraint unfrozen_job_exists
foreign key (job_id, org_id) references public.jobs (id, org_id) on delete cascade;

comment on constraint job_tasks_belongs_to_job_of_same_org on public.job_tasks is
'Composite, so that a task can never hang on another organisation''s job.';
