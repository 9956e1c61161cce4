-- bundle 3
-- One statement, so its numbers fit each other. STABLE: it reads the snapshot of the query that
-- asks. The host's columns are read from JSON, as everywhere. It trusts its caller to have the
-- right to the job: the view that calls it goes through the row-level security of jobs, and tenants
-- cannot name it.
create or replace function jobsdb.measure_job(
  job_id uuid
)
returns setof jobsdb.frozen_job_metrics
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  return query
  select
    j.id,
    j.org_id,
    j.name,
    j.status,
    j.paused_at is not null,
    j.created_at,
    j.started_at,
    j.finished_at,
    j.tasks_total,
    j.tasks_pending,
    j.tasks_running,
    j.tasks_done,
    j.tasks_error,
    j.tasks_skipped,
    round(j.tasks_done::numeric / nullif(j.tasks_total, 0), 4),
    coalesce(k.retry_total, 0),
    coalesce(k.by_kind, '{}'),
    k.max_batch,
    j.cards_total,
    j.cards_in_review,
    j.cards_approved,
    j.cards_rejected,
    j.cards_done,
    j.cards_other,
    coalesce(c.cards_by_type, '{}'),
    round(
      (j.cards_approved + j.cards_done)::numeric
      / nullif(j.cards_approved + j.cards_done + j.cards_rejected, 0),
      4
    ),
    coalesce(c.emails_drafted, 0),
    coalesce(c.emails_sent, 0),
    s.task_seconds[1],
    s.task_seconds[2],
    s.task_seconds[3],
    s.task_seconds[4],
    s.queue_seconds[1],
    s.queue_seconds[2],
    now()
  from jobsdb.exact_jobs as j
  cross join lateral (
    select
      sum(g.retries)::int as retry_total,
      max(g.max_batch) as max_batch,
      jsonb_object_agg(g.kind, g.by_status) as by_kind
    from (
      select
        f.kind,
        sum(f.retries) as retries,
        max(f.max_batch) as max_batch,
        jsonb_object_agg(f.status, f.tasks) as by_status
      from (
        select
          t.kind,
          -- No task of a failed or cancelled job is open, whatever its row still says.
          case
            when j.status in ('failed', 'cancelled') and t.status in ('pending', 'running')
              then 'skipped'
            else t.status::text
          end as status,
          count(*) as tasks,
          sum(t.retry_count) as retries,
          max(t.batch) as max_batch
        from public.job_tasks as t
        where t.job_id = j.id and t.org_id = j.org_id
        group by 1, 2
      ) as f
      group by f.kind
    ) as g
  ) as k
  cross join lateral (
    select
      percentile_cont(array[0.5, 0.9, 0.95, 1]) within group (
        order by extract(epoch from t.finished_at - t.started_at)::double precision
      ) filter (where t.status = 'done') as task_seconds,
      percentile_cont(array[0.5, 0.95]) within group (
        order by
          extract(
            epoch from t.started_at - greatest(t.created_at, t.scheduled_for)
          )::double precision
      ) as queue_seconds
    from public.job_tasks as t
    where t.job_id = j.id and t.org_id = j.org_id and t.started_at is not null
  ) as s
  cross join lateral (
    select
      jsonb_object_agg(b.type, b.by_state) as cards_by_type,
      sum(b.cards) filter (where b.type in ('draft_email', 'send_email'))::int as emails_drafted,
      sum((b.by_state ->> 'done')::int) filter (
        where b.type in ('draft_email', 'send_email')
      )::int as emails_sent
    from (
      select
        a.type,
        sum(a.cards) as cards,
        jsonb_object_agg(a.state, a.cards) as by_state
      from (
        select
          coalesce(to_jsonb(k2) ->> 'type', 'none') as type,
          coalesce(to_jsonb(k2) ->> 'state', 'none') as state,
          count(*) as cards
        from public.kanban_cards as k2
        where k2.job_id = j.id and k2.org_id = j.org_id
        group by 1, 2
      ) as a
      group by a.type
    ) as b
  ) as c
  where j.id = measure_job.job_id;
end;
$$;
revoke all on function jobsdb.measure_job(uuid) from public, anon, authenticated, service_role;
grant execute on function jobsdb.measure_job(uuid) to authenticated, service_role;

comment on function jobsdb.measure_job(uuid) is
'Computes all metrics of one job as of the present snapshot.
Returns: one row; none for an unknown job.
Errors:  none.
Source:  sql/functions/metrics/measure_job.sql';
