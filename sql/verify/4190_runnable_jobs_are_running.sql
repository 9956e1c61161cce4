-- 4190 Runnable jobs are running.
-- so: tasks of a paused job are handed out, or those of a running one are not
select
  format('job %s', coalesce(j.id, r.job_id)) as object,
  case when r.job_id is null then 'a row in jobsdb.runnable_jobs' end as missing,
  case when j.id is null then 'a row in jobsdb.runnable_jobs' end as extra,
  case
    when r.job_id is null
      then
        format(
          'insert into jobsdb.runnable_jobs (job_id, org_id) values (%L, %L);', j.id, j.org_id
        )
    else format('delete from jobsdb.runnable_jobs where job_id = %L;', r.job_id)
  end as fix
from (
  select
    a.id,
    a.org_id
  from public.jobs as a
  where a.status = 'running' and a.paused_at is null
) as j
full join jobsdb.runnable_jobs as r on j.id = r.job_id
where j.id is null or r.job_id is null
order by object
limit 100;
