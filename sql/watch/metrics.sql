-- How jobs stand, for the screen and as the "job" lines of --json.
-- $1 the jobs.
select
  m.job_id::text as id,
  m.name,
  case when m.paused then 'paused' else m.status end as status,
  m.status not in ('pending', 'running') as has_ended,
  m.status = 'succeeded' as has_succeeded,
  m.refreshed_at as at,
  m.created_at,
  m.started_at,
  m.finished_at,
  json_build_object(
    'total', m.tasks_total,
    'done', m.tasks_completed,
    'running', m.tasks_running,
    'pending', m.tasks_pending,
    'error', m.tasks_failed,
    'skipped', m.tasks_skipped
  ) as tasks,
  json_build_object(
    'in_review', m.cards_in_review,
    'approved', m.cards_approved,
    'done', m.cards_done,
    'rejected', m.cards_rejected,
    'other', m.cards_other
  ) as cards,
  m.oldest_in_review as oldest_card_at,
  json_build_object(
    'sent', m.emails_sent,
    'queued', m.emails_queued,
    'failed', m.emails_failed,
    'unknown', m.emails_unknown,
    'suppressed', m.emails_suppressed,
    'cancelled', m.emails_cancelled
  ) as sends,
  json_build_object(
    'delivered', m.emails_delivered,
    'opened', m.emails_opened_human,
    'clicked', m.emails_clicked,
    'replied', m.emails_replied,
    'bounced', m.emails_bounced_hard + m.emails_bounced_soft,
    'complained', m.emails_complained,
    'unsubscribed', m.emails_unsubscribed
  ) as answers,
  m.next_due_at
from public.job_metrics_live as m
where m.job_id = any($1::uuid[])
order by array_position($1::uuid[], m.job_id);
