-- 7020 The metrics are fresh.
-- so: job_metrics shows an old state; job_metrics_live is exact
select
  case when c.relispopulated then 'warn' else 'bad' end as state,
  'the metrics are stale: ' || case
    when c.relispopulated then format('%s old', date_trunc('second', now() - r.refreshed_at))
    else 'they were never filled'
  end as sentence,
  'select refresh_job_metrics();' as remedy
from jobsdb.metrics_refresh as r
inner join pg_class as c on c.relname = 'job_metrics_mv'
where
  not c.relispopulated
  or (
    r.refreshed_at < now() - 3 * ($1 ->> 'patience')::interval
    and exists (select from public.jobs as j where j.status in ('pending', 'running'))
  );
