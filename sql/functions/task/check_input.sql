-- bundle 1
create or replace function jobsdb.check_input(
  input jsonb
)
returns void
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(check_input.input) <> 'object' then
    raise exception using
      errcode = 'JB011',
      message = 'the input of a task must be a JSON object',
      detail = format('It is of type %s.', jsonb_typeof(check_input.input)),
      hint = 'Use jsonb_build_object(…).';
  end if;
  perform jobsdb.check_document('input', check_input.input);
end;
$$;
revoke all on function jobsdb.check_input(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.check_input(jsonb) is
'Refuses the input of a task that is no JSON object, too large or too deep.
Returns: nothing.
Errors:  JB011 no object; JB012 too large or too deep.
Source:  sql/functions/task/check_input.sql';
