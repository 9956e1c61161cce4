-- Review
-- How long cards waited until somebody decided, in hours. Approved: of those decided; edited: of
-- those approved.
-- $1 the job.
select
  m.cards_total as cards,
  m.cards_in_review as waiting,
  m.oldest_in_review as oldest_waits_since,
  round((m.review_seconds_p50 / 3600)::numeric, 2) as median_hours,
  round((m.review_seconds_p95 / 3600)::numeric, 2) as p95_hours,
  m.approval_rate as share_approved,
  m.edit_rate as share_edited,
  m.cards_expired as expired
from public.job_metrics_live as m
where m.job_id = $1::uuid;
