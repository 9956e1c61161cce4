-- bundle 3
-- One statement, so its numbers fit each other. STABLE: it reads the snapshot of the query that
-- asks. The host's columns are read from JSON, as everywhere. It trusts its caller to have the
-- right to the job: the view that calls it goes through the row-level security of jobs, and tenants
-- cannot name it. No JIT, here and where the planner guesses as badly: it takes 180 ms to
-- compile what runs in 2.
create or replace function jobsdb.measure_job(
  job_id uuid
)
returns setof jobsdb.frozen_job_metrics
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
set jit to off
as $$
#variable_conflict use_variable
declare
  v_measured record;
  v_row jobsdb.frozen_job_metrics;
begin
  for v_measured in
    select
      j.id as job_id,
      j.org_id,
      j.name,
      j.status,
      j.paused_at is not null as paused,
      j.created_at,
      j.started_at,
      j.finished_at,
      now() as refreshed_at,
      j.tasks_total,
      j.tasks_pending,
      j.tasks_running,
      j.tasks_done as tasks_completed,
      j.tasks_error as tasks_failed,
      j.tasks_skipped,
      jobsdb.rate(j.tasks_done, j.tasks_total) as task_completion_rate,
      r.retries as retry_total,
      coalesce(k.by_kind, '{}') as by_kind,
      (select max(t.batch) from public.job_tasks as t where t.job_id = j.id) as max_batch,
      s.run[1] as task_seconds_p50,
      s.run[2] as task_seconds_p90,
      s.run[3] as task_seconds_p95,
      s.run[4] as task_seconds_max,
      s.wait[1] as queue_seconds_p50,
      s.wait[2] as queue_seconds_p95,
      j.cards_total,
      j.cards_in_review,
      j.cards_approved,
      j.cards_rejected,
      j.cards_done,
      j.cards_other,
      coalesce(c.cards_by_type, '{}') as cards_by_type,
      jobsdb.rate(
        j.cards_approved + j.cards_done, j.cards_approved + j.cards_done + j.cards_rejected
      ) as approval_rate,
      coalesce(c.emails_drafted, 0) as emails_drafted,
      coalesce(c.emails_sent, 0) as emails_sent
    from jobsdb.exact_jobs as j
    cross join lateral jobsdb.rollup_of(j.id) as r
    cross join lateral (
      select
        jobsdb.percentiles(r.run, array[0.5, 0.9, 0.95, 1]) as run,
        jobsdb.percentiles(r.wait, array[0.5, 0.95]) as wait
    ) as s
    cross join lateral (
      select
        jsonb_object_agg(
          n.kind,
          jsonb_strip_nulls(jsonb_build_object(
            'pending', nullif(case when not j.status in ('failed', 'cancelled') then n.open - n.running end, 0),
            'running', nullif(case when not j.status in ('failed', 'cancelled') then n.running end, 0),
            'done', nullif(n.done, 0),
            'error', nullif(n.error, 0),
            -- No task of a failed or cancelled job is open, whatever its row still says.
            'skipped', nullif(n.skipped + case when j.status in ('failed', 'cancelled') then n.open else 0 end, 0)
          ))
        ) as by_kind
      from (
        select
          g.key as kind,
          (g.value ->> 'done')::bigint as done,
          (g.value ->> 'error')::bigint as error,
          (g.value ->> 'skipped')::bigint as skipped,
          (g.value ->> 'total')::bigint - (g.value ->> 'done')::bigint
            - (g.value ->> 'error')::bigint - (g.value ->> 'skipped')::bigint as open,
          (
            select count(*)
            from jobsdb.leases as l
            cross join unnest(l.task_ids) as i (id)
            inner join public.job_tasks as t on t.id = i.id and t.org_id = l.org_id
            where l.job_id = j.id
              and l.org_id = j.org_id
              and t.status = 'running'
              and t.lease_token = l.token
              and t.kind = g.key
          ) as running
        from jsonb_each(r.kinds) as g
        where g.value ->> 'total' <> '0'
      ) as n
    ) as k
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
            coalesce(to_jsonb(k2.*) ->> 'type', 'none') as type,
            coalesce(to_jsonb(k2.*) ->> 'state', 'none') as state,
            count(*) as cards
          from public.kanban_cards as k2
          where k2.job_id = j.id and k2.org_id = j.org_id
          group by 1, 2
        ) as a
        group by a.type
      ) as b
    ) as c
    where j.id = measure_job.job_id
  loop
    v_row := jsonb_populate_record(null::jobsdb.frozen_job_metrics, to_jsonb(v_measured));
    -- Made by bundle 5.
    if to_regprocedure('jobsdb.measure_campaign(jobsdb.frozen_job_metrics)') is not null then
      v_row := jobsdb.measure_campaign(v_row);
    end if;
    return next v_row;
  end loop;
end;
$$;
revoke all on function jobsdb.measure_job(uuid) from public, anon, authenticated, service_role;
grant execute on function jobsdb.measure_job(uuid) to authenticated, service_role;

comment on function jobsdb.measure_job(uuid) is
'Computes all metrics of one job as of the present snapshot.
Returns: one row; none for an unknown job.
Errors:  none.
Source:  sql/functions/metrics/measure_job.sql';
