-- bundle 1
create or replace function jobsdb.refuse_finished_job(
  job_id uuid,
  status text,
  what text
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
    errcode = 'JB040',
    message = format('%s, because its job is finished', refuse_finished_job.what),
    detail = format('Job "%s" is %s.', refuse_finished_job.job_id, refuse_finished_job.status),
    hint = 'A finished job takes no work. Create a new job.';
end;
$$;
revoke all on function jobsdb.refuse_finished_job(uuid, text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.refuse_finished_job(uuid, text, text) is
'Raises the one error for work that would be added to, or revived in, a finished job.
Returns: never.
Errors:  JB040 always.
Source:  sql/functions/job/refuse_finished_job.sql';
