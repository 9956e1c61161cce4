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
  round(sum(m.tasks_completed)::numeric / nullif(sum(m.tasks_total), 0), 4) as task_completion_rate,
  sum(m.retry_total) as retry_total,
  sum(m.cards_total) as cards_total,
  sum(m.cards_in_review) as cards_in_review,
  sum(m.cards_approved) as cards_approved,
  sum(m.cards_rejected) as cards_rejected,
  sum(m.cards_done) as cards_done,
  round(
    sum(m.cards_approved + m.cards_done)::numeric
    / nullif(sum(m.cards_approved + m.cards_done + m.cards_rejected), 0),
    4
  ) as approval_rate,
  sum(m.emails_drafted) as emails_drafted,
  sum(m.emails_sent) as emails_sent,
  max(m.refreshed_at) as refreshed_at
from public.job_metrics as m
group by m.org_id;
revoke all on public.job_performance_summary from public, anon, authenticated, service_role;
grant select on public.job_performance_summary to authenticated, service_role;

comment on view public.job_performance_summary is
'One row per organisation of the caller: the counts of its jobs summed up, and rates over those sums, as of refreshed_at.';
