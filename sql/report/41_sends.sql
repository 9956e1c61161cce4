-- E-mails
-- What became of them, and what was heard. Unknown: the sender died while the provider was asked.
-- $1 the job.
select
  m.emails_sent as sent,
  m.emails_queued as queued,
  m.emails_failed as failed,
  m.emails_unknown as unknown,
  m.emails_suppressed as suppressed,
  m.emails_cancelled as cancelled,
  m.emails_bounced_hard as bounced_hard,
  m.emails_bounced_soft as bounced_soft,
  m.emails_complained as complained,
  m.emails_unsubscribed as unsubscribed
from public.job_metrics_live as m
where m.job_id = $1::uuid;
