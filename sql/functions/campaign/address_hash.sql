-- bundle 4
create or replace function jobsdb.address_hash(
  org_id uuid,
  address text
)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return encode(
    sha256(convert_to(format('%s %s', address_hash.org_id, lower(address_hash.address)), 'UTF8')),
    'hex'
  );
end;
$$;
revoke all on function jobsdb.address_hash(uuid, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.address_hash(uuid, text) is
'What is left of an address that was erased: enough not to write to it again, salted with the organisation.
Returns: SHA-256 in hex.
Errors:  none.
Source:  sql/functions/campaign/address_hash.sql';
