-- 7210 Nobody waits for tick() in vain.
-- so: what lost workers held is not done again, what is due does not begin
with waiting (what, how_many, since) as (
  select
    'tasks are due that nobody has made claimable',
    count(*),
    min(t.waits_until)
  from public.job_tasks as t
  inner join jobsdb.runnable_jobs as r on t.job_id = r.job_id
  where t.waits_until < clock_timestamp() - ($1 ->> 'patience')::interval
  union all
  select
    'leases of lost workers have ended',
    count(*),
    min(l.look_at)
  from jobsdb.leases as l
  where l.look_at < clock_timestamp() - ($1 ->> 'patience')::interval
  union all
  select
    'e-mails are still held by lost senders',
    count(*),
    min(s.lease_expires_at)
  from jobsdb.sends as s
  where s.lease_expires_at < clock_timestamp() - ($1 ->> 'patience')::interval
  union all
  select
    'closed jobs have tasks that are not marked skipped',
    count(*),
    min(c.closed_at)
  from jobsdb.closed_jobs as c
  where c.closed_at < clock_timestamp() - ($1 ->> 'patience')::interval
)

select
  'bad' as state,
  format(
    '%s %s, the oldest for %s',
    w.how_many, w.what, date_trunc('second', clock_timestamp() - w.since)
  ) as sentence,
  'select tick();' as remedy
from waiting as w
where w.how_many > 0
order by w.what;
