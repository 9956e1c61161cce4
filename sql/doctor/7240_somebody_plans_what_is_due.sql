-- 7240 Somebody plans what is due.
-- so: contacts do not get their next e-mail
select
  'warn' as state,
  format(
    '%s campaigns are due for planning, the oldest for %s',
    count(*), date_trunc('second', now() - min(p.next_at))
  ) as sentence,
  'Until no row comes back: select * from claim_planning(''by hand'');' as remedy
from jobsdb.planned_jobs as p
inner join jobsdb.runnable_jobs as r on p.job_id = r.job_id and p.org_id = r.org_id
where p.next_at < now() - ($1 ->> 'patience')::interval
having count(*) > 0;
