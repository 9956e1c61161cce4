-- bundle 4
create or replace function jobsdb.needed_variables(
  params jsonb
)
returns text[]
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return array(
    select distinct m.name
    from jobsdb.touches(needed_variables.params) as n
    cross join unnest(
      jobsdb.template_variables(needed_variables.params -> 'templates' -> n.template)
    ) as m (name)
    order by m.name
  );
end;
$$;
revoke all on function jobsdb.needed_variables(jsonb)
from public, anon, authenticated, service_role;

comment on function jobsdb.needed_variables(jsonb) is
'Names the variables without a default that the templates of a campaign use.
Returns: names, sorted.
Errors:  none.
Source:  sql/functions/campaign/needed_variables.sql';
