-- The agent writes the cards of the drafts it has taken, from their templates.
with drafted as materialized (
  select
    t.id,
    t.lease_token,
    public.draft_cards(t.id, t.lease_token) as cards
  from public.job_tasks as t
  where
    t.job_id = current_setting('seed.job')::uuid
    and t.kind = 'draft_email'
    and t.status = 'running'
)

select
  public.complete_tasks(
    array_agg(d.id), d.lease_token, array_agg(jsonb_build_object('cards', d.cards))
  )
from drafted as d
group by d.lease_token;

-- It wrote one after another.
update public.job_tasks
set started_at = started_at + step * interval '40 seconds'
where
  job_id = current_setting('seed.job')::uuid
  and kind = 'draft_email'
  and status = 'done'
  and finished_at = now();
