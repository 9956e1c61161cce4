-- bundle 3
create or replace function jobsdb.rate(
  part numeric,
  whole numeric
)
returns numeric
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return round(rate.part / nullif(rate.whole, 0), 4);
end;
$$;
revoke all on function jobsdb.rate(numeric, numeric)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.rate(numeric, numeric) to authenticated, service_role;

comment on function jobsdb.rate(numeric, numeric) is
'Says what part of a whole something is.
Returns: 0 to 1 with four digits; null when the whole is 0.
Errors:  none.
Source:  sql/functions/metrics/rate.sql';
