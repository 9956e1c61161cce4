-- bundle 1
create or replace function jobsdb.scheduled_time(
  scheduled_for text
)
returns timestamptz
language plpgsql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return scheduled_time.scheduled_for::timestamptz;
exception
  when invalid_datetime_format or datetime_field_overflow or invalid_parameter_value then
    raise exception using
      errcode = 'JB011',
      message = format('"%s" is no time', left(scheduled_time.scheduled_for, 100)),
      detail = 'input.scheduled_for says when the task may start.',
      hint = 'Write it like 2026-01-31T09:00:00Z.';
end;
$$;
revoke all on function jobsdb.scheduled_time(text) from public, anon, authenticated, service_role;

comment on function jobsdb.scheduled_time(text) is
'Reads the time in input.scheduled_for.
Returns: the time, null for null.
Errors:  JB011 when it is no time.
Source:  sql/functions/task/scheduled_time.sql';
