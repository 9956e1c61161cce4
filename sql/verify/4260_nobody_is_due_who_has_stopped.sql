-- 4260 Nobody is due who has stopped.
-- so: a touch is planned for somebody who has answered, unsubscribed or was left out
select
  format('contact %s of job %s', d.contact_key, d.job_id) as object,
  'an active contact of the job' as missing,
  coalesce(c.state, 'none') as extra,
  format(
    'delete from jobsdb.due_contacts where job_id = %L and contact_key = %L;',
    d.job_id,
    d.contact_key
  ) as fix
from jobsdb.due_contacts as d
left join jobsdb.job_contacts as c
  on d.job_id = c.job_id and d.org_id = c.org_id and d.contact_key = c.contact_key
where c.state is distinct from 'active'
order by object
limit 100;
