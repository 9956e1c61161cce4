-- bundle 5
create or replace function jobsdb.is_suppressed(
  org_id uuid,
  address text
)
returns boolean
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_address text := lower(btrim(is_suppressed.address));
begin
  return exists (
    select from (
      values
      ('address', v_address),
      ('domain', split_part(v_address, '@', 2)),
      ('hash', jobsdb.address_hash(is_suppressed.org_id, v_address)),
      ('hash', jobsdb.address_hash('00000000-0000-0000-0000-000000000000', v_address))
    ) as v (scope, value)
    inner join jobsdb.suppressions as s on s.scope = v.scope and s.value = v.value
    where s.org_id in (is_suppressed.org_id, '00000000-0000-0000-0000-000000000000')
      and (s.expires_at is null or s.expires_at > now())
  );
end;
$$;
revoke all on function jobsdb.is_suppressed(uuid, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.is_suppressed(uuid, text) is
'Says whether an organisation may not write to an address now.
Returns: true or false.
Errors:  none.
Source:  sql/functions/send/is_suppressed.sql';
