-- bundle 2
-- The host's columns are read by name from JSON, never as columns: the host may add, drop and
-- retype them, and sessions with cached plans must not notice.
create or replace function jobsdb.card_hash(
  card jsonb
)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return encode(sha256(convert_to(
    jsonb_build_array(
      card_hash.card -> 'type',
      card_hash.card -> 'title',
      card_hash.card -> 'content',
      card_hash.card #> '{content,to}'
    )::text,
    'UTF8'
  )), 'hex');
end;
$$;
revoke all on function jobsdb.card_hash(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.card_hash(jsonb) is
'Fingerprint of what a person decides on: type, title, content and recipient of a card.
Units:   card is to_jsonb() of the row.
Returns: SHA-256 in hex.
Errors:  none.
Source:  sql/functions/card/card_hash.sql';
