-- 7220 Changes of counters are folded.
-- so: the counters in jobs lag; get_job_progress and job_metrics_live add what waits, and are exact
select
  'warn' as state,
  format(
    '%s changes of the counters of %s jobs are not folded yet', count(*), count(distinct d.job_id)
  ) as sentence,
  'select tick();' as remedy
from jobsdb.job_deltas as d
having count(*) >= 1000;
