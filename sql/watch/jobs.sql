-- Which jobs are watched and which of them have ended: of every look, so it reads nothing but jobs.
-- Row-level security picks what the caller may see.
-- $1 the jobs that were watched before, $2 whether every open job is watched.
select
  j.id::text as id,
  j.name,
  j.status not in ('pending', 'running') as has_ended,
  j.status = 'succeeded' as has_succeeded
from public.jobs as j
where ($2::boolean and j.status in ('pending', 'running')) or j.id = any($1::uuid[])
order by
  j.status = 'running' desc,
  j.status = 'pending' desc,
  j.created_at desc,
  j.id desc;
