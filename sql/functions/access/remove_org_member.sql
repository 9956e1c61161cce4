-- bundle 1
create or replace function jobsdb.remove_org_member(
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
  delete from jobsdb.org_members as m
  where m.user_id = remove_org_member.user_id and m.org_id = remove_org_member.org_id;
end;
$$;
revoke all on function jobsdb.remove_org_member(uuid, uuid)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.remove_org_member(uuid, uuid) to service_role;

comment on function jobsdb.remove_org_member(uuid, uuid) is
'Ends a user''s membership of an organisation; from the next statement on its rows are out of sight. Service role only.
Returns: nothing.
Errors:  none.
Source:  sql/functions/access/remove_org_member.sql';
