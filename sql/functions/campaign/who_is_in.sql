-- bundle 4
create or replace function jobsdb.who_is_in(
  job public.jobs
)
returns table (contact_key text, email text, attributes jsonb, state text, reason text)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if exists (
    select from jobsdb.planned_jobs as p
    where p.job_id = (who_is_in.job).id and p.org_id = (who_is_in.job).org_id
  ) then
    return query
    select c.contact_key, c.email, c.attributes, c.state, c.reason
    from jobsdb.job_contacts as c
    where c.job_id = (who_is_in.job).id and c.org_id = (who_is_in.job).org_id;
  else
    return query
    select
      a.contact_key,
      a.email,
      a.attributes,
      case when a.reason is null then 'active' else 'excluded' end,
      a.reason
    from jobsdb.audience((who_is_in.job).org_id, (who_is_in.job).params) as a;
  end if;
end;
$$;
revoke all on function jobsdb.who_is_in(public.jobs)
from public, anon, authenticated, service_role;

comment on function jobsdb.who_is_in(public.jobs) is
'The audience of a job: as it was frozen, or, before that, as it would be now.
Returns: a row a contact, with the reason for those who are out.
Errors:  those of jobsdb.audience.
Source:  sql/functions/campaign/who_is_in.sql';
