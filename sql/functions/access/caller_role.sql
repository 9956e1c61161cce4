-- bundle 1
-- Inside a SECURITY DEFINER body current_user is the owner, so who really calls is read from the
-- role the session has taken (the gateway's SET ROLE), else from the login.
create or replace function jobsdb.caller_role()
returns text
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  return coalesce(nullif(current_setting('role', true), 'none'), session_user);
end;
$$;
revoke all on function jobsdb.caller_role() from public, anon, authenticated, service_role;

comment on function jobsdb.caller_role() is
'Names the database role that really calls: the one the session has taken, else the login.
Returns: a role name.
Errors:  none.
Source:  sql/functions/access/caller_role.sql';
