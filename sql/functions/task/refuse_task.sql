-- bundle 1
-- One text for foreign and unknown ids, as jobsdb.refuse_job has for jobs.
create or replace function jobsdb.refuse_task(
  task_id bigint
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
      'task "%s" was not found or is not yours', coalesce(refuse_task.task_id::text, 'null')
    ),
    detail = 'No task with this id belongs to this job and an organisation of the caller.',
    hint = 'Check the id, and that you act for the organisation that owns the task.';
end;
$$;
revoke all on function jobsdb.refuse_task(bigint) from public, anon, authenticated, service_role;

comment on function jobsdb.refuse_task(bigint) is
'Raises the one error for a task that is unknown, of another job, or somebody else''s.
Returns: never.
Errors:  JB020 always.
Source:  sql/functions/task/refuse_task.sql';
