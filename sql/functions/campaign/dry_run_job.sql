-- bundle 4
create or replace function jobsdb.dry_run_job(
  job_id uuid
)
returns table (contact_key text, email text, is_in boolean, reason text)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_job public.jobs := jobsdb.see_job(dry_run_job.job_id);
begin
  return query
  select w.contact_key, w.email, w.reason is null, w.reason
  from jobsdb.who_is_in(v_job) as w
  order by w.reason nulls first, w.contact_key collate "C";
end;
$$;
revoke all on function jobsdb.dry_run_job(uuid) from public, anon, authenticated, service_role;
grant execute on function jobsdb.dry_run_job(uuid) to authenticated, service_role;

comment on function jobsdb.dry_run_job(uuid) is
'Body of public.dry_run_job.
Source:  sql/functions/campaign/dry_run_job.sql';

create or replace function public.dry_run_job(
  job_id uuid
)
returns table (contact_key text, email text, is_in boolean, reason text)
language sql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select
    d.contact_key,
    d.email,
    d.is_in,
    d.reason
  from jobsdb.dry_run_job(dry_run_job.job_id) as d;
end;
revoke all on function public.dry_run_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.dry_run_job(uuid) to authenticated, service_role;

comment on function public.dry_run_job(uuid) is
'Says who is in the audience of a job, who is out, and why, without doing anything.
Returns: a row a contact, those who are in first; reason: no_address, bad_address, duplicate_address, suppressed, missing_variable, or why it was stopped since.
Errors:  JB020 not found or not yours.
Source:  sql/functions/campaign/dry_run_job.sql';
