-- 4150 Open tasks of closed jobs are noted.
-- so: rows of a failed or cancelled job say pending or running for good
--
-- A task that was claimed in the moment of the cancel is skipped when its lease ends.
select
  format('job %s', j.id) as object,
  'a row in jobsdb.closed_jobs' as missing,
  format('%s tasks pending or running', count(*)) as extra,
  format(
    'update public.job_tasks set status = ''skipped'''
    || ' where job_id = %L and status in (''pending'', ''running'');',
    j.id
  ) as fix
from public.jobs as j
inner join public.job_tasks as t on j.id = t.job_id and j.org_id = t.org_id
where
  j.status in ('failed', 'cancelled')
  and t.status in ('pending', 'running')
  and not exists (select from jobsdb.closed_jobs as c where c.job_id = j.id)
  and not exists (
    select from jobsdb.leases as l
    where
      l.job_id = t.job_id
      and l.org_id = t.org_id
      and l.token = t.lease_token
      and l.look_at <> 'infinity'
      and t.id = any(l.task_ids)
  )
group by j.id, j.org_id
order by object
limit 100;
