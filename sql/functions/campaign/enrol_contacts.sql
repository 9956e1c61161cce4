-- bundle 4
create or replace function jobsdb.enrol_contacts(
  job_id uuid
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job public.jobs;
  v_first_touch int;
  v_rows int;
begin
  select j.*
  into v_job
  from public.jobs as j
  where j.id = enrol_contacts.job_id
  for key share;
  v_first_touch := (
    select t.touch from jobsdb.touches(v_job.params) as t order by t.touch limit 1
  );

  insert into jobsdb.job_contacts (
    job_id, org_id, contact_key, email, address, attributes, time_zone, next_touch, state, reason
  )
  select
    v_job.id,
    v_job.org_id,
    a.contact_key,
    btrim(a.email),
    case when a.reason is null then lower(btrim(a.email)) end,
    a.attributes,
    a.time_zone,
    case when a.reason is null then v_first_touch end,
    case when a.reason is null then 'active' else 'excluded' end,
    a.reason
  from jobsdb.audience(v_job.org_id, v_job.params) as a;
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
revoke all on function jobsdb.enrol_contacts(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.enrol_contacts(uuid) is
'Freezes the audience of a new job, with those left out and why.
Returns: number of contacts.
Errors:  those of jobsdb.audience; 23505 when it is frozen already.
Source:  sql/functions/campaign/enrol_contacts.sql';
