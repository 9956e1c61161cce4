-- 4240 Every waiting card is in the review queue.
-- so: nobody is shown it, and its job never ends
with waiting as (
  select k.id::text as card_id
  from public.kanban_cards as k
  where
    k.job_id is not null
    and coalesce(k.state::text, '') not in ('approved', 'rejected', 'done')
)

select
  format('card %s', coalesce(k.card_id, w.card_id)) as object,
  case when w.card_id is null then 'a row in jobsdb.waiting_cards' end as missing,
  case when k.card_id is null then 'a row in jobsdb.waiting_cards' end as extra,
  format('select jobsdb.queue_card(%L);', coalesce(k.card_id, w.card_id)) as fix
from waiting as k
full join jobsdb.waiting_cards as w on k.card_id = w.card_id
where k.card_id is null or w.card_id is null
order by object
limit 100;
