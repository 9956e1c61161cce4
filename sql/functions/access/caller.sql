-- bundle 1
-- current_user is the owner here, as in every SECURITY DEFINER body: it cannot tell who calls.
create or replace function jobsdb.caller()
returns text
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_role name := jobsdb.caller_role();
begin
  if pg_catalog.pg_has_role(v_role, current_user, 'MEMBER') then
    return 'owner';
  elsif pg_catalog.pg_has_role(v_role, 'service_role', 'MEMBER') then
    return 'service';
  end if;
  return 'tenant';
end;
$$;
revoke all on function jobsdb.caller() from public, anon, authenticated, service_role;

comment on function jobsdb.caller() is
'Says as what the session acts: owner (could change jobsdb itself), service (a member of service_role) or tenant.
Returns: owner, service or tenant.
Errors:  none.
Source:  sql/functions/access/caller.sql';
