-- bundle 3
-- STABLE: sums and moves are of the same snapshot, that of the query that asks. Tasks are looked up
-- one by one: nobody can tell the planner that an array of moves is short.
create or replace function jobsdb.rollup_of(
  job_id uuid,
  recounts boolean default false
)
returns jobsdb.task_rollups
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
set jit to off
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
as $$
declare
  v_rollup jobsdb.task_rollups;
begin
  if rollup_of.recounts
    or exists (
      select from jobsdb.task_moves as m where m.job_id = rollup_of.job_id and m.starts_anew
    )
    -- Without sums all that ever happened is among the moves, unless the job has ended since.
    or exists (
      select from public.jobs as j
      where j.id = rollup_of.job_id
        and j.status in ('succeeded', 'failed', 'cancelled')
        and not exists (select from jobsdb.task_rollups as b where b.job_id = j.id)
    ) then
    select
      j.id,
      j.org_id,
      coalesce(k.kinds, '{}'),
      coalesce(k.retries, 0),
      r.run,
      w.wait
    into v_rollup
    from public.jobs as j
    cross join lateral (
      select
        jsonb_object_agg(
          g.kind,
          jsonb_build_object(
            'total', g.total, 'done', g.done, 'error', g.error, 'skipped', g.skipped
          )
        ) as kinds,
        sum(g.retries) as retries
      from (
        select
          t.kind,
          count(*) as total,
          count(*) filter (where t.status = 'done') as done,
          count(*) filter (where t.status = 'error') as error,
          count(*) filter (where t.status = 'skipped') as skipped,
          sum(t.retry_count) as retries
        from public.job_tasks as t
        where t.job_id = j.id and t.org_id = j.org_id
        group by t.kind
      ) as g
    ) as k
    cross join lateral (
      select jobsdb.sketch(array_agg(d.seconds), array_agg(d.n)) as run
      from (
        select jobsdb.seconds_between(t.started_at, t.finished_at) as seconds, count(*) as n
        from public.job_tasks as t
        where t.job_id = j.id and t.org_id = j.org_id and t.status = 'done'
        group by 1
      ) as d
    ) as r
    cross join lateral (
      select jobsdb.sketch(array_agg(d.seconds), array_agg(d.n)) as wait
      from (
        select
          jobsdb.seconds_between(
            greatest(t.created_at, t.scheduled_for), t.started_at
          ) as seconds,
          count(*) as n
        from public.job_tasks as t
        where t.job_id = j.id and t.org_id = j.org_id and t.status = 'done'
        group by 1
      ) as d
    ) as w
    where j.id = rollup_of.job_id;
    return v_rollup;
  end if;

  with base as (
    select b.kinds, b.retries, b.run, b.wait
    from jobsdb.task_rollups as b
    where b.job_id = rollup_of.job_id
  ),
  moved as (
    select
      t.kind,
      t.created_at,
      t.scheduled_for,
      t.started_at,
      t.finished_at,
      m.done,
      m.error,
      m.skipped
    from jobsdb.task_moves as m
    cross join unnest(m.task_id || m.task_ids) as i (id)
    inner join public.job_tasks as t on t.id = i.id and t.org_id = m.org_id
    where m.job_id = rollup_of.job_id
  ),
  added as (
    select
      k.kind,
      (k.n ->> 'total')::bigint as total,
      (k.n ->> 'done')::bigint as done,
      (k.n ->> 'error')::bigint as error,
      (k.n ->> 'skipped')::bigint as skipped
    from base as b
    cross join jsonb_each(b.kinds) as k (kind, n)
    union all
    select m.kind, m.total, 0, 0, 0
    from jobsdb.task_moves as m
    where m.job_id = rollup_of.job_id and m.kind is not null
    union all
    select m.kind, 0, coalesce(m.done, 0), coalesce(m.error, 0), coalesce(m.skipped, 0)
    from moved as m
  ),
  kinds as (
    select jsonb_object_agg(s.kind, s.n) as kinds
    from (
      select
        a.kind,
        jsonb_build_object(
          'total', sum(a.total),
          'done', sum(a.done),
          'error', sum(a.error),
          'skipped', sum(a.skipped)
        ) as n
      from added as a
      group by a.kind
    ) as s
  ),
  ended as (
    select
      array_agg(jobsdb.seconds_between(m.started_at, m.finished_at)) as run,
      array_agg(
        jobsdb.seconds_between(greatest(m.created_at, m.scheduled_for), m.started_at)
      ) as wait,
      array_agg(1::bigint) as counts
    from moved as m
    where m.done = 1
  )
  select
    j.id,
    j.org_id,
    coalesce(k.kinds, '{}'),
    coalesce(b.retries, 0) + coalesce(
      (select sum(m.retries) from jobsdb.task_moves as m where m.job_id = j.id), 0
    ),
    case
      when e.counts is null then coalesce(b.run, row('{}', '{}')::jobsdb.sketch)
      else jobsdb.sketch((b.run).seconds || e.run, (b.run).counts || e.counts)
    end,
    case
      when e.counts is null then coalesce(b.wait, row('{}', '{}')::jobsdb.sketch)
      else jobsdb.sketch((b.wait).seconds || e.wait, (b.wait).counts || e.counts)
    end
  into v_rollup
  from public.jobs as j
  cross join kinds as k
  cross join ended as e
  left join base as b on true
  where j.id = rollup_of.job_id;
  return v_rollup;
end;
$$;
revoke all on function jobsdb.rollup_of(uuid, boolean)
from public, anon, authenticated, service_role;

comment on function jobsdb.rollup_of(uuid, boolean) is
'Sums up the tasks of a job as of the present snapshot: what was summed up before, and what has moved since.
Units:   recounts: from the tasks themselves.
Returns: a row of jobsdb.task_rollups, not stored; null for an unknown job.
Errors:  none.
Source:  sql/functions/metrics/rollup_of.sql';
