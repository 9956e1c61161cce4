-- bundle 3
-- No grant at all, not even without USAGE on the schema: pg_stats would show the values of every
-- tenant to whoever may read a column.
create materialized view jobsdb.job_metrics_mv as
select m.*
from public.jobs as j
cross join lateral jobsdb.measure_job(j.id) as m
where j.status in ('pending', 'running');
revoke all on jobsdb.job_metrics_mv from public, anon, authenticated, service_role;

create unique index job_metrics_mv_by_job on jobsdb.job_metrics_mv (job_id);
create index job_metrics_mv_by_org on jobsdb.job_metrics_mv (org_id);

comment on materialized view jobsdb.job_metrics_mv is
'Metrics of the open jobs as of the last refresh; those of finished jobs stand in jobsdb.frozen_job_metrics.';
