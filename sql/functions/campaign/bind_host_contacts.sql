-- bundle 4
-- For the owner alone: the audience of every organisation is read from it with the owner's rights.
create or replace function jobsdb.bind_host_contacts(
  relation regclass,
  key_column text default 'id',
  email_column text default 'email',
  org_column text default 'org_id',
  groups_column text default null,
  attributes_column text default null,
  time_zone_column text default null
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_problem text;
begin
  if bind_host_contacts.relation is null then
    delete from jobsdb.contact_source as s where s.only_row;
    return;
  end if;

  v_problem := jobsdb.contact_problem(jsonb_build_object(
    'relation', bind_host_contacts.relation::text,
    'key_column', bind_host_contacts.key_column,
    'email_column', bind_host_contacts.email_column,
    'org_column', bind_host_contacts.org_column,
    'groups_column', bind_host_contacts.groups_column,
    'attributes_column', bind_host_contacts.attributes_column,
    'time_zone_column', bind_host_contacts.time_zone_column
  ));
  if v_problem is not null then
    raise exception using
      errcode = 'JB092',
      message = format('%s cannot be bound as contacts', bind_host_contacts.relation),
      detail = upper(left(v_problem, 1)) || substr(v_problem, 2) || '.',
      hint = 'Name its columns, or bind a view that renames and converts them.';
  end if;

  insert into jobsdb.contact_source as s (
    relation, key_column, email_column, org_column, groups_column, attributes_column,
    time_zone_column
  )
  values (
    bind_host_contacts.relation::text,
    bind_host_contacts.key_column,
    bind_host_contacts.email_column,
    bind_host_contacts.org_column,
    bind_host_contacts.groups_column,
    bind_host_contacts.attributes_column,
    bind_host_contacts.time_zone_column
  )
  on conflict (only_row) do update
  set
    relation = excluded.relation,
    key_column = excluded.key_column,
    email_column = excluded.email_column,
    org_column = excluded.org_column,
    groups_column = excluded.groups_column,
    attributes_column = excluded.attributes_column,
    time_zone_column = excluded.time_zone_column;
end;
$$;
revoke all on function jobsdb.bind_host_contacts(regclass, text, text, text, text, text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.bind_host_contacts(regclass, text, text, text, text, text, text) is
'Makes campaigns read the host''s own table or view of contacts instead of jobsdb.contacts. For the owner of the schema; called again it binds another one.
Units:   relation null: back to jobsdb.contacts. groups_column text or text[]; attributes_column jsonb, null: every column is an attribute.
Returns: nothing.
Errors:  JB092 a column is missing or of a wrong type.
Source:  sql/functions/campaign/bind_host_contacts.sql';
