-- bundle 3
create or replace view public.job_metrics
with (security_invoker = true, security_barrier = true) as
select m.*
from jobsdb.job_metrics_rows() as m;
revoke all on public.job_metrics from public, anon, authenticated, service_role;
grant select on public.job_metrics to authenticated, service_role;

comment on view public.job_metrics is
'One row per job of the caller''s organisations: progress, cards by type and state, approval rate, e-mail counts and execution times as of refreshed_at. Never stale: job_metrics_live.';
