-- bundle 1
-- Who may do what with the tables; EXECUTE stands beside each function, views beside each view.
--
--                   tenant (authenticated)          agent (service_role)          anon
--   jobs            select, insert, update (some)   the same, and delete          nothing
--   job_tasks       select, insert, update (some)   the same, and delete          nothing
--   schema jobsdb   not even its names              usage, for its functions      nothing
--
-- Columns are granted one by one; those a client names in every insert or upsert are among them,
-- and the guards refuse what may not differ. UPDATE on a whole table would allow LOCK TABLE, and
-- would reach counters, lease and rev, which only functions write. Supabase's defaults grant ALL:
-- revoke first.
revoke all on schema jobsdb from public, anon, authenticated, service_role;
revoke all on all tables in schema jobsdb from public, anon, authenticated, service_role;
revoke all on all sequences in schema jobsdb from public, anon, authenticated, service_role;
revoke all on public.jobs, public.job_tasks from public, anon, authenticated, service_role;
revoke all on sequence public.job_tasks_id_seq from public, anon, authenticated, service_role;

grant usage on schema jobsdb to service_role;
grant usage on type public.job_status, public.task_status to public;

grant select on public.jobs, public.job_tasks to authenticated, service_role;
grant delete on public.jobs, public.job_tasks to service_role;

grant
insert (org_id, name, description, params, status),
update (name, description, params, status)
on public.jobs to authenticated, service_role;

grant
insert (
  org_id, job_id, batch, step, kind, input, depends_on, priority, max_retries, scheduled_for, status
),
update (
  job_id, batch, step, kind, input, depends_on, priority, max_retries, scheduled_for, status,
  output, error_message, retry_count, started_at, finished_at
)
on public.job_tasks to authenticated, service_role;

-- Read by get_job_progress and recent_job_activity in the name of their caller; policies:
-- private.sql.
grant select on jobsdb.job_deltas, jobsdb.leases, jobsdb.events, jobsdb.exact_jobs
to authenticated, service_role;
