-- bundle 1
create or replace function jobsdb.check_org(
  org_id uuid
)
returns void
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if check_org.org_id is null or not jobsdb.may_see(check_org.org_id) then
    raise exception using
      errcode = 'JB020',
      message = format(
        'organisation "%s" was not found or is not yours',
        coalesce(check_org.org_id::text, 'null')
      ),
      detail = 'The caller is no member of it.',
      hint = 'Name an organisation of your own; the personal one is auth.uid().';
  end if;
end;
$$;
revoke all on function jobsdb.check_org(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.check_org(uuid) is
'Refuses an organisation the caller may not act for.
Returns: nothing.
Errors:  JB020 not found or not yours.
Source:  sql/functions/access/check_org.sql';
