-- 4160 No link leaves its organisation.
-- so: one tenant's work shows up at another's, or a link leads nowhere
with links as (
  select
    format('task %s', t.id) as object,
    format('organisation %s, job %s of %s', t.org_id, t.job_id, j.org_id) as extra,
    format('delete from public.job_tasks where id = %s;', t.id) as fix
  from public.job_tasks as t
  left join public.jobs as j on t.job_id = j.id
  where j.org_id is distinct from t.org_id
  union all
  select
    format('card %s', k.id) as object,
    format('organisation %s, job %s of %s', k.org_id, k.job_id, j.org_id) as extra,
    format(
      'update public.kanban_cards set job_id = null, task_id = null where id = %L;', k.id
    ) as fix
  from public.kanban_cards as k
  left join public.jobs as j on k.job_id = j.id
  where k.job_id is not null and j.org_id is distinct from k.org_id
  union all
  select
    format('card %s', k.id) as object,
    format('job %s, task %s of job %s', k.job_id, k.task_id, t.job_id) as extra,
    format('update public.kanban_cards set task_id = null where id = %L;', k.id) as fix
  from public.kanban_cards as k
  left join public.job_tasks as t on k.task_id = t.id
  where k.task_id is not null and t.job_id is distinct from k.job_id
  union all
  -- A host's runs may have no organisation.
  select
    format('run %s', r.id) as object,
    format(
      'organisation %s, job %s of %s', to_jsonb(r.*) ->> 'org_id', r.job_id, j.org_id
    ) as extra,
    format('update public.agent_runs set job_id = null where id = %L;', r.id) as fix
  from public.agent_runs as r
  left join public.jobs as j on r.job_id = j.id
  where r.job_id is not null and (j.id is null or j.org_id::text <> to_jsonb(r.*) ->> 'org_id')
)

select
  l.object,
  null as missing,
  l.extra,
  l.fix
from links as l
order by object
limit 100;
