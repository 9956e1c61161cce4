-- bundle 1
create or replace function jobsdb.natural_key(
  name text
)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select string_agg(
      case when p.part[1] ~ '^[0-9]' then lpad(p.part[1], 20, '0') else p.part[1] end,
      '' order by p.place
    )
    from regexp_matches(natural_key.name, '[0-9]+|[^0-9]+', 'g') with ordinality as p (part, place)
  ), '');
end;
$$;
revoke all on function jobsdb.natural_key(text) from public, anon, authenticated, service_role;

comment on function jobsdb.natural_key(text) is
'What to sort names by so that followup2 comes before followup10.
Returns: text, to be compared byte by byte.
Errors:  none.
Source:  sql/functions/campaign/natural_key.sql';
