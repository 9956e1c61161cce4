-- 4170 Every approval was given.
-- so: an agent may send what nobody has looked at
--
-- The guard writes every decision about a linked card down; of an approved card the last one is
-- "yes".
select
  format('card %s', k.id) as object,
  'a decision "approved" in jobsdb.card_reviews' as missing,
  'last decision: ' || coalesce(r.decision, 'none') as extra,
  format('update public.kanban_cards set state = ''in_review'' where id = %L;', k.id) as fix
from public.kanban_cards as k
inner join public.jobs as j on k.job_id = j.id
left join lateral (
  select v.decision
  from jobsdb.card_reviews as v
  where v.card_id = k.id::text and v.job_id = k.job_id
  order by v.id desc
  limit 1
) as r on true
where
  k.state::text = 'approved'
  and j.params -> 'review_mode' is distinct from 'false'::jsonb
  and r.decision is distinct from 'approved'
order by object
limit 100;
