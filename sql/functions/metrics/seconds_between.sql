-- bundle 3
-- Anybody may write infinity, or the first and the last day there is, into a task: subtracted from
-- each other they are an error, and one tenant's row would stop everybody's refresh.
create or replace function jobsdb.seconds_between(
  from_time timestamptz,
  to_time timestamptz
)
returns float8
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  if isfinite(seconds_between.from_time) and isfinite(seconds_between.to_time) then
    return extract(epoch from seconds_between.to_time)
      - extract(epoch from seconds_between.from_time);
  end if;
  return null;
end;
$$;
revoke all on function jobsdb.seconds_between(timestamptz, timestamptz)
from public, anon, authenticated, service_role;

comment on function jobsdb.seconds_between(timestamptz, timestamptz) is
'Says how long it took from one time to another.
Returns: seconds; null when a time is null or infinite.
Errors:  none.
Source:  sql/functions/metrics/seconds_between.sql';
