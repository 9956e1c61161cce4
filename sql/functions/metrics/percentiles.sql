-- bundle 3
create or replace function jobsdb.percentiles(
  sketch jobsdb.sketch,
  fractions float8[]
)
returns float8[]
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return (
    with placed as (
      select
        s.value,
        -- The places these durations take when all stand in a row, counted from 0.
        sum(s.n) over (order by s.value) - s.n as first_place,
        sum(s.n) over (order by s.value) - 1 as last_place
      from unnest((percentiles.sketch).seconds, (percentiles.sketch).counts) as s (value, n)
    ),
    wanted as (
      select f.nth, f.fraction * (select max(p.last_place) from placed as p)::float8 as place
      from unnest(percentiles.fractions) with ordinality as f (fraction, nth)
    )
    select array_agg(l.value + (h.value - l.value) * (w.place - floor(w.place)) order by w.nth)
    from wanted as w
    left join placed as l on floor(w.place) >= l.first_place and floor(w.place) <= l.last_place
    left join placed as h on ceil(w.place) >= h.first_place and ceil(w.place) <= h.last_place
  );
end;
$$;
revoke all on function jobsdb.percentiles(jobsdb.sketch, float8[])
from public, anon, authenticated, service_role;

comment on function jobsdb.percentiles(jobsdb.sketch, float8[]) is
'Reads percentiles off a distribution, between two durations as percentile_cont does.
Units:   fractions 0 to 1.
Returns: seconds by position of fractions; null for an empty distribution.
Errors:  none.
Source:  sql/functions/metrics/percentiles.sql';
