-- 4150 Open tasks of closed jobs are noted.
-- so: rows of a failed or cancelled job say pending or running for good
select
  format('job %s', j.id) as object,
  'a row in jobsdb.closed_jobs' as missing,
  format('%s tasks pending or running', count(*)) as extra,
  format(
    'insert into jobsdb.closed_jobs (job_id, org_id) values (%L, %L);'
    || ' select jobsdb.finish_closed_jobs();',
    j.id, j.org_id
  ) as fix
from public.jobs as j
inner join public.job_tasks as t on j.id = t.job_id and j.org_id = t.org_id
where
  j.status in ('failed', 'cancelled')
  and t.status in ('pending', 'running')
  and not exists (select from jobsdb.closed_jobs as c where c.job_id = j.id)
group by j.id, j.org_id
order by object
limit 100;
