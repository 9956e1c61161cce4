-- 4220 The metrics are fresh.
-- so: job_metrics shows an old state; job_metrics_live is exact
-- level: warning
select
  'job_metrics' as object,
  'a refresh within the last 15 minutes' as missing,
  format(
    'last refresh %s', to_char(r.refreshed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
  ) as extra,
  'select refresh_job_metrics(); and schedule it, for example: select cron.schedule('
  || '''refresh-job-metrics'', ''*/5 * * * *'', ''select refresh_job_metrics();'');' as fix
from jobsdb.metrics_refresh as r
where
  r.refreshed_at < now() - interval '15 minutes'
  and exists (select from public.jobs as j where j.status in ('pending', 'running'));
