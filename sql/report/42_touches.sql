-- Touches
-- The same by touch, as far as something was queued.
-- $1 the job.
select
  t.touch,
  coalesce((t.facts ->> 'sent')::int, 0) as sent,
  coalesce((t.facts ->> 'delivered')::int, 0) as delivered,
  coalesce((t.facts ->> 'open_human')::int, 0) as opened,
  coalesce((t.facts ->> 'click')::int, 0) as clicked,
  coalesce((t.facts ->> 'reply')::int, 0) as replied
from public.job_metrics_live as m
cross join lateral jsonb_each(m.by_touch) as t (touch, facts)
where m.job_id = $1::uuid
order by t.touch;
