-- bundle 1
-- An agent with the service key is nobody. The owner could drop the guards, so asking him is idle.
create or replace function jobsdb.is_identified()
returns boolean
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  return auth.uid() is not null or jobsdb.caller() = 'owner';
end;
$$;
revoke all on function jobsdb.is_identified() from public, anon, authenticated, service_role;

comment on function jobsdb.is_identified() is
'Says whether a person stands behind the call: auth.uid() is set, or it is the owner.
Returns: true or false.
Errors:  22P02 when the JWT claims are malformed.
Source:  sql/functions/access/is_identified.sql';
