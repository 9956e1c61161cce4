-- bundle 4
-- Without an order of its own: it would keep the caller's `order by since limit 50` from the
-- planner, which then may read every card that waits (measured: 196 times the buffers). With it the
-- cards are read in the order of an index.
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
where c.card is not null;
revoke all on public.review_queue from public, anon, authenticated, service_role;
grant select on public.review_queue to authenticated, service_role;

comment on view public.review_queue is
'Cards that wait for a person; order by since to have the oldest first. With the content_hash that review_cards asks for: what is decided is what was shown. missing: variables of the template without a value.';
comment on column public.review_queue.card_id is 'The card, as text.';
comment on column public.review_queue.org_id is 'Its organisation.';
comment on column public.review_queue.job_id is 'Its job.';
comment on column public.review_queue.job_name is 'The name of the job.';
comment on column public.review_queue.task_id is 'The task that made it.';
comment on column public.review_queue.type is 'Its type, a kind of task.';
comment on column public.review_queue.title is 'Its title.';
comment on column public.review_queue.content is 'What is to be reviewed; of an e-mail {to, subject, body}.';
comment on column public.review_queue.content_hash is 'What review_cards asks for: names this content and no other.';
comment on column public.review_queue.missing is 'Variables of the template without a value, as an array of names.';
comment on column public.review_queue.since is 'Since when it has waited.';
