-- bundle 1
create or replace function public.get_job_progress(
  job_id uuid
)
returns table (
  status text,
  tasks_total int,
  tasks_done int,
  tasks_error int,
  tasks_skipped int,
  pending int,
  running int,
  percent numeric,
  cards_total int,
  cards_in_review int,
  cards_approved int,
  cards_rejected int,
  cards_done int,
  cards_other int
)
language sql
stable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select
    p.status,
    p.tasks_total,
    p.tasks_done,
    p.tasks_error,
    p.tasks_skipped,
    p.tasks_pending,
    p.tasks_running,
    coalesce(
      round(
        100.0 * (p.tasks_done + p.tasks_error + p.tasks_skipped) / nullif(p.tasks_total, 0), 1
      ),
      0
    ) as percent,
    p.cards_total,
    p.cards_in_review,
    p.cards_approved,
    p.cards_rejected,
    p.cards_done,
    p.cards_other
  from jobsdb.exact_jobs as p
  where p.id = get_job_progress.job_id;
end;
revoke all on function public.get_job_progress(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_job_progress(uuid) to authenticated, service_role;

comment on function public.get_job_progress(uuid) is
'Says how far a job is: its status and all its counters, exact in every snapshot.
Units:   percent of the tasks that are done, in error or skipped, 0 to 100; 0 without tasks.
Returns: one row; none for an unknown or foreign job.
Errors:  none.
Source:  sql/functions/metrics/get_job_progress.sql';
