-- bundle 1
-- One text for foreign and unknown ids on every path: an error must not tell which of the two it
-- is.
create or replace function jobsdb.refuse_job(
  job_id uuid
)
returns void
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'JB020',
    message = format(
      'job "%s" was not found or is not yours', coalesce(refuse_job.job_id::text, 'null')
    ),
    detail = 'No job with this id belongs to an organisation of the caller.',
    hint = 'Check the id, and that you act for the organisation that owns the job.';
end;
$$;
revoke all on function jobsdb.refuse_job(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.refuse_job(uuid) is
'Raises the one error for a job that is unknown or belongs to somebody else.
Returns: never.
Errors:  JB020 always.
Source:  sql/functions/job/refuse_job.sql';
