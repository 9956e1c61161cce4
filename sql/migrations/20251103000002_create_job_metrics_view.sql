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
  refreshed_at timestamptz not null,
  tasks_total int not null,
  tasks_pending int not null,
  tasks_running int not null,
  tasks_completed int not null,
  tasks_failed int not null,
  tasks_skipped int not null,
  task_completion_rate numeric,
  retry_total bigint not null,
  by_kind jsonb not null,
  max_batch int,
  task_seconds_p50 double precision,
  task_seconds_p90 double precision,
  task_seconds_p95 double precision,
  task_seconds_max double precision,
  queue_seconds_p50 double precision,
  queue_seconds_p95 double precision,
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
  cards_expired int,
  edit_rate numeric,
  review_seconds_p50 double precision,
  review_seconds_p95 double precision,
  oldest_in_review timestamptz,
  emails_queued int,
  emails_failed int,
  emails_unknown int,
  emails_suppressed int,
  emails_cancelled int,
  emails_delivered int,
  emails_bounced_hard int,
  emails_bounced_soft int,
  emails_complained int,
  emails_replied int,
  emails_unsubscribed int,
  emails_opened_human int,
  emails_opened_machine int,
  emails_clicked int,
  delivery_rate numeric,
  bounce_rate numeric,
  complaint_rate numeric,
  reply_rate numeric,
  unsubscribe_rate numeric,
  open_rate numeric,
  click_rate numeric,
  by_touch jsonb,
  by_template jsonb,
  first_send_at timestamptz,
  last_send_at timestamptz,
  contacts_enrolled int,
  contacts_excluded int,
  contacts_active int,
  contacts_finished int,
  contacts_stopped int,
  contacts_replied int,
  next_due_at timestamptz,
  tokens_in bigint,
  tokens_out bigint,
  cost numeric,
  budget_left numeric,
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
comment on column jobsdb.frozen_job_metrics.emails_sent is 'E-mails sent: cards done, or rows of the ledger where cards were deleted.';
comment on column jobsdb.frozen_job_metrics.task_seconds_p50 is 'Median seconds from start to end of a done task.';
comment on column jobsdb.frozen_job_metrics.task_seconds_p90 is '90th percentile of the same.';
comment on column jobsdb.frozen_job_metrics.task_seconds_p95 is '95th percentile of the same.';
comment on column jobsdb.frozen_job_metrics.task_seconds_max is 'Maximum of the same.';
comment on column jobsdb.frozen_job_metrics.queue_seconds_p50 is 'Median seconds a task that is done had waited, from creation (or the scheduled time) to its start.';
comment on column jobsdb.frozen_job_metrics.queue_seconds_p95 is '95th percentile of the same.';
comment on column jobsdb.frozen_job_metrics.refreshed_at is 'Time of the data.';
comment on column jobsdb.frozen_job_metrics.cards_expired is 'Cards rejected because nobody decided in time.';
comment on column jobsdb.frozen_job_metrics.edit_rate is 'Approvals in which the person changed the content, of all approvals, 0 to 1.';
comment on column jobsdb.frozen_job_metrics.review_seconds_p50 is 'Median seconds a card waited for its decision.';
comment on column jobsdb.frozen_job_metrics.review_seconds_p95 is '95th percentile of the same.';
comment on column jobsdb.frozen_job_metrics.oldest_in_review is 'Since when the card waits that has waited longest.';
comment on column jobsdb.frozen_job_metrics.emails_queued is 'E-mails approved and not yet settled: queued, leased or dispatching.';
comment on column jobsdb.frozen_job_metrics.emails_failed is 'E-mails the provider refused.';
comment on column jobsdb.frozen_job_metrics.emails_unknown is 'E-mails of which nobody knows whether they went out.';
comment on column jobsdb.frozen_job_metrics.emails_suppressed is 'E-mails kept back because their address must get none.';
comment on column jobsdb.frozen_job_metrics.emails_cancelled is 'E-mails taken back before they were sent.';
comment on column jobsdb.frozen_job_metrics.emails_delivered is 'Sent e-mails reported as delivered.';
comment on column jobsdb.frozen_job_metrics.emails_bounced_hard is 'Sent e-mails whose address does not exist.';
comment on column jobsdb.frozen_job_metrics.emails_bounced_soft is 'Sent e-mails that could not be delivered at that time.';
comment on column jobsdb.frozen_job_metrics.emails_complained is 'Sent e-mails reported as spam.';
comment on column jobsdb.frozen_job_metrics.emails_replied is 'Sent e-mails a person has answered; automatic replies do not count.';
comment on column jobsdb.frozen_job_metrics.emails_unsubscribed is 'Sent e-mails that led to an unsubscription.';
comment on column jobsdb.frozen_job_metrics.emails_opened_human is 'Sent e-mails opened by a person, as far as the provider can tell.';
comment on column jobsdb.frozen_job_metrics.emails_opened_machine is 'Sent e-mails opened by a machine.';
comment on column jobsdb.frozen_job_metrics.emails_clicked is 'Sent e-mails in which a link was followed.';
comment on column jobsdb.frozen_job_metrics.delivery_rate is 'emails_delivered / emails_sent, 0 to 1, like all rates below; null without e-mails.';
comment on column jobsdb.frozen_job_metrics.bounce_rate is 'emails_bounced_hard / emails_sent.';
comment on column jobsdb.frozen_job_metrics.complaint_rate is 'emails_complained / emails_sent.';
comment on column jobsdb.frozen_job_metrics.reply_rate is 'emails_replied / emails_sent.';
comment on column jobsdb.frozen_job_metrics.unsubscribe_rate is 'emails_unsubscribed / emails_sent.';
comment on column jobsdb.frozen_job_metrics.open_rate is 'emails_opened_human / emails_sent.';
comment on column jobsdb.frozen_job_metrics.click_rate is 'emails_clicked / emails_sent.';
comment on column jobsdb.frozen_job_metrics.by_touch is 'E-mails as {touch: {state or event: n}}; touches count from 0, other stands for cards outside the sequence.';
comment on column jobsdb.frozen_job_metrics.by_template is 'The same as {template: {state or event: n}}.';
comment on column jobsdb.frozen_job_metrics.first_send_at is 'When the first e-mail went out.';
comment on column jobsdb.frozen_job_metrics.last_send_at is 'When the last one did.';
comment on column jobsdb.frozen_job_metrics.contacts_enrolled is 'Contacts who matched, the excluded ones included.';
comment on column jobsdb.frozen_job_metrics.contacts_excluded is 'Contacts left out at enrolment.';
comment on column jobsdb.frozen_job_metrics.contacts_active is 'Contacts with touches to come.';
comment on column jobsdb.frozen_job_metrics.contacts_finished is 'Contacts who got all touches.';
comment on column jobsdb.frozen_job_metrics.contacts_stopped is 'Contacts whose sequence ended early: reply, bounce, rejection …';
comment on column jobsdb.frozen_job_metrics.contacts_replied is 'Those of them who replied.';
comment on column jobsdb.frozen_job_metrics.next_due_at is 'When the next touch of a contact may be planned.';
comment on column jobsdb.frozen_job_metrics.tokens_in is 'Tokens sent to models (record_usage).';
comment on column jobsdb.frozen_job_metrics.tokens_out is 'Tokens models have written.';
comment on column jobsdb.frozen_job_metrics.cost is 'Money used, in the currency of params.budget.';
comment on column jobsdb.frozen_job_metrics.budget_left is 'params.budget.max_cost - cost, 0 when more was used; null without a budget.';

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
