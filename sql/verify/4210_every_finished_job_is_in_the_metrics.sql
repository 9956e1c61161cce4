-- 4210 Every finished job is in the metrics.
-- so: job_metrics leaves it out, and sums over the organisation are too small
select
  format('job %s', j.id) as object,
  'metrics, or a note to compute them' as missing,
  null as extra,
  format(
    'insert into jobsdb.unfrozen_jobs (job_id, org_id) values (%L, %L);'
    || ' select public.refresh_job_metrics();',
    j.id, j.org_id
  ) as fix
from public.jobs as j
where
  j.status in ('succeeded', 'failed', 'cancelled')
  and not exists (select from jobsdb.frozen_job_metrics as f where f.job_id = j.id)
  and not exists (select from jobsdb.unfrozen_jobs as u where u.job_id = j.id)
order by object
limit 100;
