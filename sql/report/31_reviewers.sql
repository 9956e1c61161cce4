-- Who decided
-- Users by their id; where nobody was identified, the database role. As far as history is kept.
-- $1 the job.
select
  d.who,
  count(*) as decisions,
  count(*) filter (where d.decision = 'approved') as approved,
  count(*) filter (where d.decision = 'rejected') as rejected,
  count(*) filter (where d.decision = 'in_review') as sent_back,
  max(d.happened_at) as last_at
from (
  select
    a.who,
    a.happened_at,
    substring(a.what, '[^ ]+$') as decision
  from public.recent_job_activity as a
  where a.job_id = $1::uuid and a.entity = 'card'
) as d
where d.decision <> 'done'
group by d.who
order by count(*) desc, d.who asc;
