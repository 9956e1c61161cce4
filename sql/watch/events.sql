-- The newest events from a place on, newest first; their place is their number.
-- $1 the job, null for all, $2 the place, null for the beginning, $3 how many.
select
  e.id as place,
  e.entity,
  e.entity_id,
  e.entity || ' ' || coalesce(e.old_status || ' → ', '') || e.new_status as what,
  e.job_id::text as job,
  coalesce(j.name, e.job_id::text) as name,
  e.happened_at as at,
  coalesce(e.actor::text, e.actor_role) as who
from jobsdb.events as e
left join public.jobs as j on e.job_id = j.id and e.org_id = j.org_id
where ($1::uuid is null or e.job_id = $1::uuid) and ($2::bigint is null or e.id >= $2::bigint)
order by e.id desc
limit $3::int;
