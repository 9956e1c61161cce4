-- bundle 1
create or replace function jobsdb.add_org_member(
  user_id uuid,
  org_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  insert into jobsdb.org_members (user_id, org_id)
  values (add_org_member.user_id, add_org_member.org_id)
  on conflict do nothing;
end;
$$;
revoke all on function jobsdb.add_org_member(uuid, uuid)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.add_org_member(uuid, uuid) to service_role;

comment on function jobsdb.add_org_member(uuid, uuid) is
'Makes a user a member of an organisation; doing it twice changes nothing. Service role only.
Returns: nothing.
Errors:  23502 when an argument is null.
Source:  sql/functions/access/add_org_member.sql';
