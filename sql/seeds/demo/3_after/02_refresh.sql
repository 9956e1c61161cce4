-- The metrics are refreshed, as pg_cron does every five minutes.
-- as: owner
select refresh_job_metrics();
