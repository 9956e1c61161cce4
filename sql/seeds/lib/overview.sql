-- Every job that says it is a sample, oldest first.
select
  j.id::text,
  j.org_id::text,
  j.params ->> 'seed' as seed,
  j.params ->> 'part' as part,
  j.status::text,
  j.tasks_total,
  j.tasks_done,
  j.tasks_error,
  j.cards_in_review,
  j.cards_approved,
  j.cards_done
from public.jobs as j
where j.params ? 'seed'
order by
  j.created_at,
  j.id;
