-- Ana approves with an edit where the name is missing.
-- as: tenant
-- counts: reviews
select
  'edited' as word,
  count(*) as number
from review_queue as q
cross join
  lateral review_card(
    card_id => q.card_id,
    decision => 'approve',
    expected_hash => q.content_hash,
    content => replace(q.content::text, '{{first_name}}', 'Mrs Hill')::jsonb || '{"missing": []}'
  ) as r (outcome)
where
  q.job_id = current_setting('demo.job')::uuid
  and q.missing <> '[]'
  and r.outcome = 'ok';
