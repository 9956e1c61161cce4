-- Every legal move, from jobsdb.transitions, with the functions that make it; and how things begin
-- (from_status is null). What else may make a move is plain SQL, where it is granted. The functions
-- are named here because no catalog knows them; tests/test_explain.py holds the names against it.
with makers (entity, from_status, to_status, functions) as (
  values
  ('job', null, 'pending', '{create_job}'),
  ('job', 'pending', 'running', '{transition_job_status}'),
  ('job', 'pending', 'cancelled', '{cancel_job,transition_job_status}'),
  ('job', 'running', 'succeeded', '{settle_job,tick,transition_job_status}'),
  ('job', 'running', 'failed', '{settle_job,tick,transition_job_status}'),
  ('job', 'running', 'cancelled', '{cancel_job,transition_job_status}'),
  ('task', null, 'pending', '{create_job,plan_next_batch,claim_planning,review_cards}'),
  ('task', 'pending', 'running', '{claim_tasks,complete_and_claim}'),
  ('task', 'pending', 'done', '{settle_job,tick}'),
  ('task', 'pending', 'error', '{}'),
  ('task', 'pending', 'skipped', '{cancel_job,transition_job_status,tick,refresh_job_metrics}'),
  ('task', 'running', 'done', '{complete_tasks,complete_and_claim}'),
  ('task', 'running', 'error', '{fail_tasks,claim_tasks,complete_and_claim,tick}'),
  (
    'task',
    'running',
    'skipped',
    '{cancel_job,transition_job_status,tick,refresh_job_metrics,claim_tasks,complete_and_claim}'
  ),
  ('task', 'running', 'pending', '{release_tasks,fail_tasks,claim_tasks,complete_and_claim,tick}'),
  ('task', 'error', 'pending', '{retry_job}'),
  ('task', 'error', 'skipped', '{}'),
  ('card', null, 'in_review', '{draft_cards}'),
  ('card', 'in_review', 'approved', '{review_card,review_cards,draft_cards}'),
  ('card', 'in_review', 'rejected', '{review_card,review_cards,tick,erase_contact}'),
  ('card', 'in_review', 'done', '{}'),
  ('card', 'approved', 'in_review', '{}'),
  ('card', 'approved', 'rejected', '{settle_job,tick,erase_contact}'),
  ('card', 'approved', 'done', '{settle_send,resolve_unknown,settle_job,tick}'),
  ('card', 'rejected', 'in_review', '{}')
),

moves as (
  select
    t.entity,
    t.from_status,
    t.to_status,
    t.meaning
  from jobsdb.transitions as t
  union all
  select
    m.entity,
    null as from_status,
    m.to_status,
    'made' as meaning
  from makers as m
  where m.from_status is null
)

select
  jsonb_build_object(
    'entity', v.entity,
    'table',
    case v.entity
      when 'job' then 'public.jobs' when 'task' then 'public.job_tasks' else 'public.kanban_cards'
    end,
    'column', case v.entity when 'card' then 'state' else 'status' end,
    'from_status', v.from_status,
    'to_status', v.to_status,
    'meaning', v.meaning,
    'functions', coalesce(to_jsonb(m.functions::text[]), '[]')
  ) as move
from moves as v
left join makers as m
  on
    v.entity = m.entity
    and v.from_status is not distinct from m.from_status
    and v.to_status = m.to_status
order by
  strpos('job task card', v.entity),
  v.from_status is not null,
  array_position(
    array['pending', 'in_review', 'running', 'approved', 'error', 'rejected'], v.from_status
  ),
  v.to_status
