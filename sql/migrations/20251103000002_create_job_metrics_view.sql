-- bundle 3
-- Where metrics are kept. The public views and the materialized view itself are present state, see
-- sql/views/: a materialized view cannot be changed in place, so it is dropped and made again.
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

-- One row shape for the frozen rows, the materialized view and job_metrics_live.
create table jobsdb.frozen_job_metrics (
  job_id uuid not null,
  org_id uuid not null,
  name text not null,
  status text not null,
  paused boolean not null,
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  tasks_total int not null,
  tasks_pending int not null,
  tasks_running int not null,
  tasks_completed int not null,
  tasks_failed int not null,
  tasks_skipped int not null,
  task_completion_rate numeric,
  retry_total int not null,
  by_kind jsonb not null,
  max_batch int,
  cards_total int not null,
  cards_in_review int not null,
  cards_approved int not null,
  cards_rejected int not null,
  cards_done int not null,
  cards_other int not null,
  cards_by_type jsonb not null,
  approval_rate numeric,
  emails_drafted int not null,
  emails_sent int not null,
  task_seconds_p50 double precision,
  task_seconds_p90 double precision,
  task_seconds_p95 double precision,
  task_seconds_max double precision,
  queue_seconds_p50 double precision,
  queue_seconds_p95 double precision,
  refreshed_at timestamptz not null,
  constraint frozen_job_metrics_pkey primary key (job_id)
);
alter table jobsdb.frozen_job_metrics enable row level security;
revoke all on jobsdb.frozen_job_metrics from public, anon, authenticated, service_role;
create index frozen_job_metrics_by_org on jobsdb.frozen_job_metrics (org_id);

comment on table jobsdb.frozen_job_metrics is
'Metrics of finished jobs, computed once; so a refresh costs what the open jobs cost, not what history costs.';
comment on column jobsdb.frozen_job_metrics.job_id is 'The job.';
comment on column jobsdb.frozen_job_metrics.org_id is 'Its organisation.';
comment on column jobsdb.frozen_job_metrics.name is 'Its name.';
comment on column jobsdb.frozen_job_metrics.status is 'Its status.';
comment on column jobsdb.frozen_job_metrics.paused is 'Whether it is paused.';
comment on column jobsdb.frozen_job_metrics.created_at is 'When it was created.';
comment on column jobsdb.frozen_job_metrics.started_at is 'When it first ran.';
comment on column jobsdb.frozen_job_metrics.finished_at is 'When it ended.';
comment on column jobsdb.frozen_job_metrics.tasks_total is 'Number of tasks.';
comment on column jobsdb.frozen_job_metrics.tasks_pending is 'Tasks in state pending; 0 in a failed or cancelled job.';
comment on column jobsdb.frozen_job_metrics.tasks_running is 'Tasks in state running; 0 in a failed or cancelled job.';
comment on column jobsdb.frozen_job_metrics.tasks_completed is 'Tasks in state done.';
comment on column jobsdb.frozen_job_metrics.tasks_failed is 'Tasks in state error.';
comment on column jobsdb.frozen_job_metrics.tasks_skipped is 'Tasks skipped.';
comment on column jobsdb.frozen_job_metrics.task_completion_rate is 'tasks_completed / tasks_total, 0 to 1; null without tasks.';
comment on column jobsdb.frozen_job_metrics.retry_total is 'Sum of retry_count over all tasks.';
comment on column jobsdb.frozen_job_metrics.by_kind is 'Number of tasks as {kind: {status: n}}.';
comment on column jobsdb.frozen_job_metrics.max_batch is 'Highest batch planned; null without tasks.';
comment on column jobsdb.frozen_job_metrics.cards_total is 'Number of linked cards.';
comment on column jobsdb.frozen_job_metrics.cards_in_review is 'Linked cards waiting for a person.';
comment on column jobsdb.frozen_job_metrics.cards_approved is 'Linked cards approved and not yet executed.';
comment on column jobsdb.frozen_job_metrics.cards_rejected is 'Linked cards rejected.';
comment on column jobsdb.frozen_job_metrics.cards_done is 'Linked cards executed.';
comment on column jobsdb.frozen_job_metrics.cards_other is 'Linked cards in a state only the host knows.';
comment on column jobsdb.frozen_job_metrics.cards_by_type is 'Number of cards as {type: {state: n}}.';
comment on column jobsdb.frozen_job_metrics.approval_rate is '(approved + done) / (approved + done + rejected), 0 to 1; null when nothing is decided.';
comment on column jobsdb.frozen_job_metrics.emails_drafted is 'Cards of type draft_email or send_email.';
comment on column jobsdb.frozen_job_metrics.emails_sent is 'Those of them in state done.';
comment on column jobsdb.frozen_job_metrics.task_seconds_p50 is 'Median seconds from start to end of a done task.';
comment on column jobsdb.frozen_job_metrics.task_seconds_p90 is '90th percentile of the same.';
comment on column jobsdb.frozen_job_metrics.task_seconds_p95 is '95th percentile of the same.';
comment on column jobsdb.frozen_job_metrics.task_seconds_max is 'Maximum of the same.';
comment on column jobsdb.frozen_job_metrics.queue_seconds_p50 is 'Median seconds from creation (or the scheduled time) to the start of a task.';
comment on column jobsdb.frozen_job_metrics.queue_seconds_p95 is '95th percentile of the same.';
comment on column jobsdb.frozen_job_metrics.refreshed_at is 'Time of the data.';

create table jobsdb.metrics_refresh (
  only_row boolean not null default true,
  refreshed_at timestamptz not null default now(),
  constraint metrics_refresh_pkey primary key (only_row),
  constraint there_is_only_one_row check (only_row)
);
alter table jobsdb.metrics_refresh enable row level security;
revoke all on jobsdb.metrics_refresh from public, anon, authenticated, service_role;
insert into jobsdb.metrics_refresh default values;

comment on table jobsdb.metrics_refresh is
'One row: whoever holds it refreshes the metrics; everybody else reads when that last happened.';
comment on column jobsdb.metrics_refresh.only_row is 'Always true.';
comment on column jobsdb.metrics_refresh.refreshed_at is 'Time of the data in job_metrics.';

alter table jobsdb.frozen_job_metrics
add constraint frozen_job_metrics_belong_to_job
foreign key (job_id, org_id) references public.jobs (id, org_id) on delete cascade;
