-- bundle 3
-- What cannot be replaced in place is dropped before the present state is applied again, dependents
-- first and never with CASCADE: an object that is not ours stops the deployment and is named.
drop function if exists public.get_job_metrics_for_org(uuid);
drop view if exists public.job_performance_summary;
drop view if exists public.recent_job_activity;
drop view if exists public.job_metrics;
drop view if exists public.job_metrics_live;
drop materialized view if exists jobsdb.job_metrics_mv;
