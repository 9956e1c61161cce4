-- 7110 tick() is scheduled.
-- needs: cron.job
-- so: nobody takes back what lost workers held, and metrics grow old
--
-- tick() refreshes the metrics, too, when they are older than five minutes.
select
  'warn' as state,
  'pg_cron is here, but does not call tick()' as sentence,
  'select cron.schedule(''jobsdb-tick'', ''* * * * *'', ''select public.tick()'');' as remedy
where
  not exists (
    select from cron.job as j
    where j.active and j.database = current_database() and j.command ~ '\mtick\s*\('
  )
union all
select
  'warn' as state,
  'pg_cron is here, but does not call refresh_job_metrics()' as sentence,
  'select cron.schedule(''refresh-job-metrics'', ''*/5 * * * *'','
  || ' ''select public.refresh_job_metrics()'');' as remedy
where
  not exists (
    select from cron.job as j
    where
      j.active
      and j.database = current_database()
      and j.command ~ '\m(tick|refresh_job_metrics)\s*\('
  );
