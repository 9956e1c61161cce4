-- bundle 3
-- Row-level security of jobs picks the rows; each is then measured in the snapshot of the query.
create or replace view public.job_metrics_live
with (security_invoker = true, security_barrier = true) as
select m.*
from public.jobs as j
cross join lateral jobsdb.measure_job(j.id) as m;
revoke all on public.job_metrics_live from public, anon, authenticated, service_role;
grant select on public.job_metrics_live to authenticated, service_role;

comment on view public.job_metrics_live is
'The columns of job_metrics, computed at this moment; exact in every snapshot. Ask it for one job rather than for all.';
