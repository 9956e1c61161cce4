-- bundle 4
-- The one place that knows where contacts come from. A host's relation is read by name and through
-- JSON, so it may gain, lose and retype other columns.
create or replace function jobsdb.contacts_of(
  org_id uuid,
  groups text[],
  filter jsonb
)
returns table (contact_key text, email text, attributes jsonb, time_zone text)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_source jsonb := (select to_jsonb(s) from jobsdb.contact_source as s);
  v_problem text := jobsdb.contact_problem(v_source);
begin
  -- Read through JSON, a column that is gone would be a contact without an address.
  if v_problem is not null then
    raise exception using
      errcode = 'JB092',
      message = 'the host''s contacts cannot be read',
      detail = format('%s is bound: %s.', v_source ->> 'relation', v_problem),
      hint = 'Bind it as it is now with jobsdb.bind_host_contacts, or nothing: null.';
  end if;
  if v_source is null then
    return query
    select c.contact_key, c.email, c.attributes, c.time_zone
    from jobsdb.contacts as c
    where c.org_id = contacts_of.org_id
      and (contacts_of.groups is null or c.groups && contacts_of.groups)
      and (contacts_of.filter is null or c.attributes @> contacts_of.filter);
    return;
  end if;

  return query execute format(
    'select x.host ->> %L, x.host ->> %L, x.attributes, x.host ->> %L
    from (
      select to_jsonb(h.*) as host, %s as attributes
      from %s as h
      where h.%I = $1
    ) as x
    where x.host ->> %1$L is not null
      and ($2 is null or x.host -> %7$L ?| $2)
      and ($3 is null or x.attributes @> $3)',
    v_source ->> 'key_column',
    v_source ->> 'email_column',
    coalesce(v_source ->> 'time_zone_column', ''),
    case
      when v_source ->> 'attributes_column' is null then 'to_jsonb(h.*)'
      else format(
        'case jsonb_typeof(h.%1$I) when ''object'' then h.%1$I else ''{}'' end',
        v_source ->> 'attributes_column'
      )
    end,
    v_source ->> 'relation',
    v_source ->> 'org_column',
    coalesce(v_source ->> 'groups_column', '')
  )
  using contacts_of.org_id, contacts_of.groups, contacts_of.filter;
end;
$$;
revoke all on function jobsdb.contacts_of(uuid, text[], jsonb)
from public, anon, authenticated, service_role;

comment on function jobsdb.contacts_of(uuid, text[], jsonb) is
'Finds contacts of an organisation, in jobsdb.contacts or where the host has bound its own.
Units:   groups null: whatever group; filter null: whatever attributes, else matched by containment.
Returns: a row a contact.
Errors:  JB092 the host''s relation has changed since it was bound.
Source:  sql/functions/campaign/contacts_of.sql';
