-- bundle 1
-- The cheapest question first: most callers act for their own organisation.
create or replace function jobsdb.may_see(
  org_id uuid
)
returns boolean
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  return coalesce(may_see.org_id = auth.uid(), false)
    or jobsdb.caller() <> 'tenant'
    or coalesce(may_see.org_id = any(jobsdb.my_org_ids()), false);
end;
$$;
revoke all on function jobsdb.may_see(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.may_see(uuid) is
'Says whether the caller may see and change rows of an organisation; service role and owner may always.
Returns: true or false, never null.
Errors:  22P02 when the JWT claims are malformed.
Source:  sql/functions/access/may_see.sql';
