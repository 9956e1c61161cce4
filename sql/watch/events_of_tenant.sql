-- The same for who may not enter schema jobsdb. The view orders by number but does not tell it, so
-- the place of an event is its time. The limit stands inside: it ends the reading.
-- $1 the job, null for all, $2 the place, null for the beginning, $3 how many.
select
  a.happened_at as place,
  a.entity,
  a.entity_id,
  a.what,
  a.job_id::text as job,
  coalesce(a.job_name, a.job_id::text) as name,
  a.happened_at as at,
  a.who
from (
  select v.*
  from public.recent_job_activity as v
  where $1::uuid is null or v.job_id = $1::uuid
  limit $3::int  -- noqa: AM09
) as a
where $2::timestamptz is null or a.happened_at >= $2::timestamptz;
