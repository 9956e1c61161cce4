-- bundle 1
-- The counters of jobs and what still waits to be folded into them, in one statement: exact in
-- every snapshot. Pending is what is left over; only running tasks are looked up, by the leases
-- of the job. In a failed or cancelled job no task is open, whatever its row
-- still says.
create or replace view jobsdb.exact_jobs with (security_invoker = true) as
select
  j.id,
  j.org_id,
  j.name,
  j.status::text as status,
  j.paused_at,
  j.created_at,
  j.started_at,
  j.finished_at,
  j.tasks_total + d.tasks_total as tasks_total,
  case
    when j.status in ('failed', 'cancelled') then 0
    else
      j.tasks_total - j.tasks_done - j.tasks_error - j.tasks_skipped
      + d.tasks_total - d.tasks_done - d.tasks_error - d.tasks_skipped - r.tasks_running
  end as tasks_pending,
  case when j.status in ('failed', 'cancelled') then 0 else r.tasks_running end as tasks_running,
  j.tasks_done + d.tasks_done as tasks_done,
  j.tasks_error + d.tasks_error as tasks_error,
  case
    when j.status in ('failed', 'cancelled')
      then
        j.tasks_total - j.tasks_done - j.tasks_error
        + d.tasks_total - d.tasks_done - d.tasks_error
    else j.tasks_skipped + d.tasks_skipped
  end as tasks_skipped,
  j.cards_total + d.cards_total as cards_total,
  j.cards_in_review + d.cards_in_review as cards_in_review,
  j.cards_approved + d.cards_approved as cards_approved,
  j.cards_rejected + d.cards_rejected as cards_rejected,
  j.cards_done + d.cards_done as cards_done,
  j.cards_other + d.cards_other as cards_other
from public.jobs as j
cross join
  lateral (
    select
      coalesce(sum(w.tasks_total), 0)::int as tasks_total,
      coalesce(sum(w.tasks_done), 0)::int as tasks_done,
      coalesce(sum(w.tasks_error), 0)::int as tasks_error,
      coalesce(sum(w.tasks_skipped), 0)::int as tasks_skipped,
      coalesce(sum(w.cards_total), 0)::int as cards_total,
      coalesce(sum(w.cards_in_review), 0)::int as cards_in_review,
      coalesce(sum(w.cards_approved), 0)::int as cards_approved,
      coalesce(sum(w.cards_rejected), 0)::int as cards_rejected,
      coalesce(sum(w.cards_done), 0)::int as cards_done,
      coalesce(sum(w.cards_other), 0)::int as cards_other
    from jobsdb.job_deltas as w
    where w.job_id = j.id and w.org_id = j.org_id
  ) as d
cross join lateral (
  select count(*)::int as tasks_running
  from jobsdb.leases as l
  cross join unnest(l.task_ids) as i (id)
  inner join public.job_tasks as t on i.id = t.id and l.org_id = t.org_id
  where
    l.job_id = j.id
    and l.org_id = j.org_id
    and t.status = 'running'
    and t.lease_token = l.token
) as r;
revoke all on jobsdb.exact_jobs from public, anon, authenticated, service_role;
grant select on jobsdb.exact_jobs to authenticated, service_role;

comment on view jobsdb.exact_jobs is
'Jobs with counters that are exact in every snapshot, deltas not yet folded included.';
