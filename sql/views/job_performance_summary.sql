-- bundle 3
-- Sums of counts, and rates over sums: an average of rates would count a job of two tasks like one
-- of two thousand.
create or replace view public.job_performance_summary with (security_invoker = true) as
select
  m.org_id,
  count(*) as jobs_total,
  count(*) filter (where m.status = 'pending') as jobs_pending,
  count(*) filter (where m.status = 'running') as jobs_running,
  count(*) filter (where m.status = 'succeeded') as jobs_succeeded,
  count(*) filter (where m.status = 'failed') as jobs_failed,
  count(*) filter (where m.status = 'cancelled') as jobs_cancelled,
  sum(m.tasks_total) as tasks_total,
  sum(m.tasks_completed) as tasks_completed,
  sum(m.tasks_failed) as tasks_failed,
  sum(m.tasks_skipped) as tasks_skipped,
  jobsdb.rate(sum(m.tasks_completed), sum(m.tasks_total)) as task_completion_rate,
  sum(m.retry_total) as retry_total,
  sum(m.cards_total) as cards_total,
  sum(m.cards_in_review) as cards_in_review,
  sum(m.cards_approved) as cards_approved,
  sum(m.cards_rejected) as cards_rejected,
  sum(m.cards_done) as cards_done,
  sum(m.cards_expired) as cards_expired,
  jobsdb.rate(
    sum(m.cards_approved + m.cards_done), sum(m.cards_approved + m.cards_done + m.cards_rejected)
  ) as approval_rate,
  min(m.oldest_in_review) as oldest_in_review,
  sum(m.emails_drafted) as emails_drafted,
  sum(m.emails_sent) as emails_sent,
  sum(m.emails_queued) as emails_queued,
  sum(m.emails_failed) as emails_failed,
  sum(m.emails_unknown) as emails_unknown,
  sum(m.emails_suppressed) as emails_suppressed,
  sum(m.emails_cancelled) as emails_cancelled,
  sum(m.emails_delivered) as emails_delivered,
  sum(m.emails_bounced_hard) as emails_bounced_hard,
  sum(m.emails_bounced_soft) as emails_bounced_soft,
  sum(m.emails_complained) as emails_complained,
  sum(m.emails_replied) as emails_replied,
  sum(m.emails_unsubscribed) as emails_unsubscribed,
  sum(m.emails_opened_human) as emails_opened_human,
  sum(m.emails_opened_machine) as emails_opened_machine,
  sum(m.emails_clicked) as emails_clicked,
  jobsdb.rate(sum(m.emails_delivered), sum(m.emails_sent)) as delivery_rate,
  jobsdb.rate(sum(m.emails_bounced_hard), sum(m.emails_sent)) as bounce_rate,
  jobsdb.rate(sum(m.emails_complained), sum(m.emails_sent)) as complaint_rate,
  jobsdb.rate(sum(m.emails_replied), sum(m.emails_sent)) as reply_rate,
  jobsdb.rate(sum(m.emails_unsubscribed), sum(m.emails_sent)) as unsubscribe_rate,
  jobsdb.rate(sum(m.emails_opened_human), sum(m.emails_sent)) as open_rate,
  jobsdb.rate(sum(m.emails_clicked), sum(m.emails_sent)) as click_rate,
  min(m.first_send_at) as first_send_at,
  max(m.last_send_at) as last_send_at,
  sum(m.contacts_enrolled) as contacts_enrolled,
  sum(m.contacts_excluded) as contacts_excluded,
  sum(m.contacts_active) as contacts_active,
  sum(m.contacts_finished) as contacts_finished,
  sum(m.contacts_stopped) as contacts_stopped,
  sum(m.contacts_replied) as contacts_replied,
  sum(m.tokens_in) as tokens_in,
  sum(m.tokens_out) as tokens_out,
  sum(m.cost) as cost,
  min(m.next_due_at) as next_due_at,
  max(m.refreshed_at) as refreshed_at
from public.job_metrics as m
group by m.org_id;
revoke all on public.job_performance_summary from public, anon, authenticated, service_role;
grant select on public.job_performance_summary to authenticated, service_role;

comment on view public.job_performance_summary is
'One row per organisation of the caller: the counts of its jobs summed up, and rates over those sums, as of refreshed_at.';
