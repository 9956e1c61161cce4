-- 4230 Every running task is named by its lease.
-- so: it is not counted as running, and never comes back when its worker is lost
select
  format('task %s', t.id) as object,
  'a row in jobsdb.leases' as missing,
  null as extra,
  format('update public.job_tasks set status = ''pending'' where id = %s;', t.id) as fix
from public.job_tasks as t
inner join public.jobs as j on t.job_id = j.id and t.org_id = j.org_id
where
  t.status = 'running'
  and j.status in ('pending', 'running')
  and not exists (
    select from jobsdb.leases as l
    where
      l.job_id = t.job_id
      and l.org_id = t.org_id
      and l.token = t.lease_token
      and t.id = any(l.task_ids)
  )
order by object
limit 100;
