-- Day by day
-- What the history knows: decisions about cards, e-mails and moves of the job, by day in UTC.
-- $1 the job.
select
  (a.happened_at at time zone 'UTC')::date as day,
  count(*) filter (where a.entity = 'card') as cards,
  count(*) filter (where a.entity = 'send') as e_mails,
  count(*) filter (where a.entity = 'job') as job
from public.recent_job_activity as a
where a.job_id = $1::uuid
group by 1
order by 1 asc;
