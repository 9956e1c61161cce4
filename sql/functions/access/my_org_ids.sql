-- bundle 1
-- NULL identity gives an empty array: nothing matches it, so no sub means no rows. STABLE and never
-- IMMUTABLE: a cached plan must not serve the previous identity.
create or replace function jobsdb.my_org_ids()
returns uuid[]
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_uid uuid := auth.uid();
begin
  if v_uid is null then
    return '{}';
  end if;
  return array(
    select v_uid
    union
    select m.org_id
    from jobsdb.org_members as m
    where m.user_id = v_uid
  );
end;
$$;
revoke all on function jobsdb.my_org_ids() from public, anon, authenticated, service_role;
grant execute on function jobsdb.my_org_ids() to authenticated, service_role;

comment on function jobsdb.my_org_ids() is
'Lists the organisations of the caller: the personal one (auth.uid()) and those of jobsdb.org_members. Every policy asks it.
Returns: an array, empty when nobody is identified.
Errors:  22P02 when the JWT claims are not JSON or sub is not a uuid.
Source:  sql/functions/access/my_org_ids.sql';
