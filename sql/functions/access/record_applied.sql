-- bundle 1
-- The last step of every deployment, in its transaction: the ledger and the objects cannot differ.
create or replace function jobsdb.record_applied(
  files text[],
  sha256s text[],
  release text,
  route text
)
returns void
language plpgsql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  insert into jobsdb.ledger (file, sha256, release, route)
  select f.file, f.sha256, record_applied.release, record_applied.route
  from unnest(record_applied.files, record_applied.sha256s)
  with ordinality as f (file, sha256, place)
  where f.sha256 is distinct from (
    select l.sha256
    from jobsdb.ledger as l
    where l.file = f.file
    order by l.seq desc
    limit 1
  )
  order by f.place;
end;
$$;
revoke all on function jobsdb.record_applied(text[], text[], text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.record_applied(text[], text[], text, text) is
'Appends to the ledger the files whose content differs from what it last recorded.
Units:   sha256s in hex, in the order of files.
Returns: nothing.
Errors:  23505 when a migration is recorded a second time with another content.
Source:  sql/functions/access/record_applied.sql';
