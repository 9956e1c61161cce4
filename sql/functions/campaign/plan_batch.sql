-- bundle 4
-- The caller holds the job's row of jobsdb.planned_jobs, so a second planner waits for it and then
-- finds nobody due. The tasks are inserted as the guard of inserts would leave them, which lets
-- rows with rev 1 pass: row by row it would take three times as long as everything else here. Work
-- memory for the keys of 100,000 contacts, which are sorted once.
create or replace function jobsdb.plan_batch(
  job_id uuid,
  batch int,
  is_first boolean
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set work_mem to '64MB'
as $$
declare
  v_job public.jobs;
  v_size int;
  v_tasks int;
  v_is_any_large boolean;
begin
  select j.*
  into v_job
  from public.jobs as j
  where j.id = plan_batch.job_id;
  v_size := coalesce((v_job.params ->> 'batch_size')::numeric::int, 10);

  with picked as (
    delete from jobsdb.due_contacts as d
    where d.job_id = v_job.id and d.org_id = v_job.org_id and d.due_at <= now()
    returning d.contact_key
  ),
  due as (
    select c.contact_key, c.next_touch
    from jobsdb.job_contacts as c
    where plan_batch.is_first
      and c.job_id = v_job.id
      and c.org_id = v_job.org_id
      and c.state = 'active'
      and c.next_touch is not null
    union all
    select c.contact_key, c.next_touch
    from picked as p
    inner join jobsdb.job_contacts as c
      on c.job_id = v_job.id and c.org_id = v_job.org_id and c.contact_key = p.contact_key
    where not plan_batch.is_first and c.state = 'active' and c.next_touch is not null
  ),
  placed as (
    select
      d.contact_key,
      d.next_touch,
      (
        row_number() over (
          partition by d.next_touch order by d.contact_key collate "C"
        ) - 1
      ) / v_size as chunk
    from due as d
  ),
  chunks as (
    select
      p.next_touch as touch,
      array_agg(p.contact_key) as contact_keys,
      (2 * row_number() over (order by p.next_touch, p.chunk) - 1)::int as step
    from placed as p
    group by p.next_touch, p.chunk
  ),
  planned as (
    insert into public.job_tasks (
      job_id, org_id, batch, step, kind, input, depends_on, max_retries, waits_on, pos, rev
    )
    select
      v_job.id,
      v_job.org_id,
      plan_batch.batch,
      s.step,
      s.kind,
      s.input,
      s.depends_on,
      k.max_retries,
      s.depends_on[1],
      case when s.depends_on = '{}' then nextval('jobsdb.task_order') end,
      1
    from chunks as c
    inner join jobsdb.touches(v_job.params) as t on t.touch = c.touch
    cross join lateral (
      values
      (
        c.step,
        'draft_email',
        jsonb_build_object(
          'target_type', 'contact_group',
          'contact_ids', c.contact_keys,
          'template', t.template,
          'variables', coalesce(v_job.params -> 'variables', '{}'),
          'touch', c.touch
        ),
        '{}'::int[]
      ),
      (
        c.step + 1,
        'send_email',
        jsonb_build_object(
          'wait_for_approval', jobsdb.reviews_cards(v_job.params), 'touch', c.touch
        ),
        array[c.step]
      )
    ) as s (step, kind, input, depends_on)
    inner join jobsdb.task_kinds as k on k.kind = s.kind
    order by s.step
    -- What is small and not compressed has nothing that could be too large or too deep.
    returning pg_column_size(input) >= 2000 or pg_column_compression(input) is not null as is_large
  )
  select
    count(*),
    coalesce(bool_or(p.is_large), false)
  into v_tasks, v_is_any_large
  from planned as p;

  if v_is_any_large then
    perform jobsdb.check_input(t.input)
    from public.job_tasks as t
    where t.job_id = v_job.id and t.org_id = v_job.org_id and t.batch = plan_batch.batch;
  end if;
  return v_tasks;
end;
$$;
revoke all on function jobsdb.plan_batch(uuid, int, boolean)
from public, anon, authenticated, service_role;

comment on function jobsdb.plan_batch(uuid, int, boolean) is
'Plans the touch of every contact that is due: chunks of params.batch_size, for each a task that drafts and one that sends what was approved.
Units:   is_first: everybody who is in is due.
Returns: number of tasks.
Errors:  those of inserting tasks.
Source:  sql/functions/campaign/plan_batch.sql';
