-- bundle 4
create or replace function jobsdb.variables_of(
  params jsonb,
  attributes jsonb,
  contact_key text,
  email text
)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object('contact_id', variables_of.contact_key, 'email', variables_of.email)
    || coalesce(variables_of.params -> 'variables', '{}')
    || variables_of.attributes;
end;
$$;
revoke all on function jobsdb.variables_of(jsonb, jsonb, text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.variables_of(jsonb, jsonb, text, text) is
'What the templates of a campaign can name for one contact: contact_id and email, params.variables, and its attributes, which win.
Returns: a JSON object.
Errors:  none.
Source:  sql/functions/campaign/variables_of.sql';
