-- She decides on the others, on exactly what she was shown.
-- as: tenant
-- counts: reviews
with shown as materialized (
  select
    q.card_id,
    q.content_hash,
    case
      when q.content ->> 'contact_id' = 'demo/gil.hill' then 'reject'
      when q.content ->> 'contact_id' = 'demo/dora.roth' and q.title like '%- intro' then 'redraft'
      else 'approve'
    end as decision
  from review_queue as q
  where q.job_id = current_setting('demo.job')::uuid
),

stacks as (
  select
    s.decision,
    array_agg(s.card_id) as card_ids,
    array_agg(s.content_hash) as content_hashes
  from shown as s
  group by s.decision
)

select
  case s.decision
    when 'approve' then 'approved'
    when 'reject' then 'rejected'
    else 'sent back'
  end as word,
  count(*) as number
from stacks as s
cross join
  lateral review_cards(
    s.card_ids, s.content_hashes, s.decision, comment => 'decided by Ana'
  ) as r
where r.outcome = 'ok'
group by s.decision;
