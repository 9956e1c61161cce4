-- bundle 4
-- What a provider would take, or nearly: better one that bounces than one that was never tried. The
-- code points are named, because in a database of the C locale only ASCII counts as blank.
create or replace function jobsdb.is_address(
  address text
)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return length(is_address.address) <= 254
    and strpos(is_address.address, '@') between 2 and 65
    and is_address.address ~ (
      '^[^\u0001-\u0020\u007f-\u00a0\u2000-\u200f\u2028-\u202f\u3000@<>"(),:;\\[\]]+'
      || '@[^\u0001-\u002c\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a0'
      || '\u2000-\u200f\u2028-\u202f\u3000]+$'
    )
    and is_address.address ~ '[.][^.@][^.@]+$'
    and is_address.address !~ '\.\.|^\.|\.@|@\.|@-|-\.|\.-|-$';
end;
$$;
revoke all on function jobsdb.is_address(text) from public, anon, authenticated, service_role;

comment on function jobsdb.is_address(text) is
'Says whether a text looks like an e-mail address.
Returns: true or false, null for null.
Errors:  none.
Source:  sql/functions/campaign/is_address.sql';
