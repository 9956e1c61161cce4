-- bundle 1
-- Written for the hot path of task inserts: a small document costs two comparisons. What a table
-- has stored compressed looks small, so it is always unpacked and measured; size is that of the
-- text.
create or replace function jobsdb.check_document(
  what text,
  document jsonb
)
returns void
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_stored int := pg_column_size(check_document.document);
  v_compressed boolean := pg_column_compression(check_document.document) is not null;
begin
  if v_stored < 300 and not v_compressed then
    return;
  end if;
  if (v_stored > 2000 or v_compressed)
    and octet_length(check_document.document::text) > 1048576 then
    raise exception using
      errcode = 'JB012',
      message = format('%s is too large', check_document.what),
      detail = format('It has %s bytes as text; at most 1048576 (1 MiB) are stored.',
        octet_length(check_document.document::text)),
      hint = 'Store large things elsewhere and put a reference here.';
  end if;
  -- The document itself is level 0: a container at level 40 is the 41st around its own content.
  if jsonb_path_exists(
    check_document.document, 'strict $.**{40} ? (@.type() == "object" || @.type() == "array")'
  ) then
    raise exception using
      errcode = 'JB012',
      message = format('%s is nested too deeply', check_document.what),
      detail = 'It has more than 40 levels.',
      hint = 'Flatten it: at most 40 levels of objects and arrays are stored.';
  end if;
end;
$$;
revoke all on function jobsdb.check_document(text, jsonb)
from public, anon, authenticated, service_role;

comment on function jobsdb.check_document(text, jsonb) is
'Refuses a JSON document of more than 1 MiB or 40 levels.
Returns: nothing.
Errors:  JB012 too large or too deep.
Source:  sql/functions/access/check_document.sql';
