-- The newest events from a number on, newest first.
-- $1 the job, null for all, $2 the number, null for the beginning, $3 how many.
select
  a.id,
  a.entity,
  a.entity_id,
  a.what,
  a.job_id::text as job,
  coalesce(a.job_name, a.job_id::text) as name,
  a.happened_at as at,
  a.who
from public.recent_job_activity as a
where ($1::uuid is null or a.job_id = $1::uuid) and ($2::bigint is null or a.id >= $2::bigint)
order by a.id desc
limit $3::int;
