-- bundle 3
create or replace view public.recent_job_activity with (security_invoker = true) as
select
  e.org_id,
  e.job_id,
  j.name as job_name,
  e.entity,
  e.entity_id,
  e.entity || ' ' || coalesce(e.old_status || ' → ', '') || e.new_status as what,
  e.happened_at,
  coalesce(e.actor::text, e.actor_role) as who,
  e.id
from jobsdb.events as e
left join public.jobs as j on e.job_id = j.id and e.org_id = j.org_id
order by e.id desc;
revoke all on public.recent_job_activity from public, anon, authenticated, service_role;
grant select on public.recent_job_activity to authenticated, service_role;

comment on view public.recent_job_activity is
'What happened to the caller''s jobs, cards and e-mails, newest first: what (entity and move), when (happened_at) and who (user id, else database role).';
