-- bundle 4
-- Read in the order of a key, so that a page costs what its cards cost, however many wait.
create or replace view public.review_queue with (security_invoker = true) as
select
  w.card_id,
  w.org_id,
  w.job_id,
  j.name as job_name,
  (c.card ->> 'task_id')::bigint as task_id,
  c.card ->> 'type' as type,
  c.card ->> 'title' as title,
  c.card -> 'content' as content,
  jobsdb.card_hash(c.card) as content_hash,
  coalesce(c.card #> '{content,missing}', '[]') as missing,
  w.since
from jobsdb.waiting_cards as w
inner join public.jobs as j on w.job_id = j.id and w.org_id = j.org_id
cross join lateral jobsdb.card_of(w.card_id) as c (card)
where c.card is not null
order by w.since, w.id;
revoke all on public.review_queue from public, anon, authenticated, service_role;
grant select on public.review_queue to authenticated, service_role;

comment on view public.review_queue is
'Cards that wait for a person, oldest first, with the content_hash that review_cards asks for: what is decided is what was shown. missing: variables of the template without a value.';
