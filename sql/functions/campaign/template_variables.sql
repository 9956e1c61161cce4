-- bundle 4
create or replace function jobsdb.template_variables(
  template jsonb
)
returns text[]
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_template record := jobsdb.read_template(template_variables.template);
begin
  return array(
    select distinct m.name
    from unnest(
      (jobsdb.render_text(v_template.subject, '{}', false)).missing
      || (jobsdb.render_text(v_template.body, '{}', false)).missing
    ) as m (name)
    order by m.name
  );
end;
$$;
revoke all on function jobsdb.template_variables(jsonb)
from public, anon, authenticated, service_role;

comment on function jobsdb.template_variables(jsonb) is
'Names the variables without a default that a template uses.
Returns: names, sorted.
Errors:  none.
Source:  sql/functions/campaign/template_variables.sql';
