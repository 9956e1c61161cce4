-- bundle 4
create or replace function jobsdb.upsert_contacts(
  contacts jsonb,
  org_id uuid
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_org_id uuid := coalesce(upsert_contacts.org_id, auth.uid());
  v_problem text;
  v_rows int;
begin
  perform jobsdb.check_org(v_org_id);
  if jsonb_typeof(upsert_contacts.contacts) is distinct from 'array' then
    raise exception using
      errcode = 'JB011',
      message = 'contacts have to be an array',
      detail = format('It is %s.', coalesce(jsonb_typeof(upsert_contacts.contacts), 'null')),
      hint = 'Write [{"contact_key": "c1", "email": "…", "groups": ["AMC"], "attributes": {}}].';
  end if;
  if jsonb_array_length(upsert_contacts.contacts) > 10000 then
    raise exception using
      errcode = 'JB050',
      message = 'too many contacts in one call',
      detail = format(
        'There are %s; at most 10000 are taken.', jsonb_array_length(upsert_contacts.contacts)
      ),
      hint = 'Send them in several calls.';
  end if;

  select format('Contact %s of the array: %s.', c.place, p.problem)
  into v_problem
  from jsonb_array_elements(upsert_contacts.contacts) with ordinality as c (value, place)
  cross join lateral (
    values
    ('it is not an object', jsonb_typeof(c.value) <> 'object'),
    (
      'contact_key is not a text of 1 to 200 characters',
      (
        jsonb_typeof(c.value -> 'contact_key') in ('string', 'number')
        and length(c.value ->> 'contact_key') between 1 and 200
      ) is not true
    ),
    ('email is not text', jsonb_typeof(c.value -> 'email') not in ('string', 'null')),
    ('email has more than 1000 characters', length(c.value ->> 'email') > 1000),
    (
      'groups is not an array of text',
      case jsonb_typeof(c.value -> 'groups')
        when 'array' then jsonb_path_exists(c.value, '$.groups[*] ? (@.type() != "string")')
        else jsonb_typeof(c.value -> 'groups') <> 'null'
      end
    ),
    ('attributes is not an object', jsonb_typeof(c.value -> 'attributes') not in ('object', 'null')),
    ('time_zone is not text', jsonb_typeof(c.value -> 'time_zone') not in ('string', 'null'))
  ) as p (problem, is_so)
  where p.is_so
  limit 1;
  if v_problem is not null then
    raise exception using
      errcode = 'JB011',
      message = 'the contacts cannot be used',
      detail = v_problem,
      hint = 'Write {"contact_key": "c1", "email": "…", "groups": ["AMC"], "attributes": {}}.';
  end if;
  perform jobsdb.check_document('a contact', c.value -> 'attributes')
  from jsonb_array_elements(upsert_contacts.contacts) as c (value);

  insert into jobsdb.contacts as c (
    org_id, contact_key, email, groups, attributes, time_zone
  )
  select distinct on (n.value ->> 'contact_key')
    v_org_id,
    n.value ->> 'contact_key',
    n.value ->> 'email',
    array(
      select g.name
      from jsonb_array_elements_text(nullif(n.value -> 'groups', 'null')) as g (name)
    ),
    coalesce(nullif(n.value -> 'attributes', 'null'), '{}'),
    n.value ->> 'time_zone'
  from jsonb_array_elements(upsert_contacts.contacts) with ordinality as n (value, place)
  order by n.value ->> 'contact_key', n.place desc
  on conflict on constraint contacts_pkey do update
  set
    email = excluded.email,
    groups = excluded.groups,
    attributes = excluded.attributes,
    time_zone = excluded.time_zone,
    updated_at = now();
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
revoke all on function jobsdb.upsert_contacts(jsonb, uuid)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.upsert_contacts(jsonb, uuid) to authenticated, service_role;

comment on function jobsdb.upsert_contacts(jsonb, uuid) is
'Body of public.upsert_contacts.
Source:  sql/functions/campaign/upsert_contacts.sql';

create or replace function public.upsert_contacts(
  contacts jsonb,
  org_id uuid default null
)
returns int
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select jobsdb.upsert_contacts(upsert_contacts.contacts, upsert_contacts.org_id);
end;
revoke all on function public.upsert_contacts(jsonb, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.upsert_contacts(jsonb, uuid) to authenticated, service_role;

comment on function public.upsert_contacts(jsonb, uuid) is
'Adds contacts to an organisation, or replaces those with the same key; for those who bind no table of their own. Audiences that are frozen already do not change.
Units:   contacts is an array of {"contact_key", "email", "groups", "attributes", "time_zone"}, at most 10,000; of the same key the last counts; org_id null: the personal organisation.
Returns: number of contacts written.
Errors:  JB011 bad list; JB012 attributes too large or too deep; JB020 the organisation is not yours; JB050 too many.
Source:  sql/functions/campaign/upsert_contacts.sql';
