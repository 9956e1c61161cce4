-- bundle 3
create or replace function public.get_job_metrics_for_org(
  org_id uuid
)
returns setof public.job_metrics
language sql
stable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select m.*
  from public.job_metrics as m
  where m.org_id = get_job_metrics_for_org.org_id;
end;
revoke all on function public.get_job_metrics_for_org(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.get_job_metrics_for_org(uuid) to authenticated, service_role;

comment on function public.get_job_metrics_for_org(uuid) is
'Lists the metrics of an organisation''s jobs as of the last refresh.
Returns: rows of job_metrics; none for an unknown or foreign organisation.
Errors:  none.
Source:  sql/views/get_job_metrics_for_org.sql';
