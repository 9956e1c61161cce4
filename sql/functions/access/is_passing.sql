-- bundle 1
create or replace function jobsdb.is_passing(
  sqlstate text
)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return left(is_passing.sqlstate, 2) in ('40', '53', '55', '57', '58', 'XX');
end;
$$;
revoke all on function jobsdb.is_passing(text) from public, anon, authenticated, service_role;

comment on function jobsdb.is_passing(text) is
'Says whether an error is of the moment (a deadlock, a full disk, a shutdown): it goes to the caller, who tries again. Any other one is the host''s refusal of a row, and must not hold up everybody else''s.
Returns: whether it passes.
Errors:  none.
Source:  sql/functions/access/is_passing.sql';
