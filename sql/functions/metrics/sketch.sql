-- bundle 3
-- Up to 1,000 different durations stand as they are, so that small jobs have exact percentiles.
-- More are rounded to steps of two per cent (a value is off by one at most), all but the shortest
-- and the longest: then a microsecond and a thousand years fit into 2,000 values.
create or replace function jobsdb.sketch(
  seconds float8[],
  counts bigint[]
)
returns jobsdb.sketch
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return (
    with exact as (
      select s.value, sum(s.n)::bigint as n
      from unnest(sketch.seconds, sketch.counts) as s (value, n)
      where s.value is not null
      group by s.value
    ),
    size as (
      select count(*) as n, min(e.value) as shortest, max(e.value) as longest
      from exact as e
    ),
    rounded as (
      select r.value, sum(e.n)::bigint as n
      from exact as e
      cross join size as z
      cross join lateral (
        select
          case
            when z.n <= 1000 or e.value in (z.shortest, z.longest) then e.value
            when abs(e.value) < 0.000001 then 0
            else least(
              greatest(sign(e.value) * exp(round(ln(abs(e.value)) * 50) / 50), z.shortest), z.longest
            )
          end as value
      ) as r
      group by r.value
    )
    select
      row(
        coalesce(array_agg(r.value order by r.value), '{}'),
        coalesce(array_agg(r.n order by r.value), '{}')
      )::jobsdb.sketch
    from rounded as r
  );
end;
$$;
revoke all on function jobsdb.sketch(float8[], bigint[])
from public, anon, authenticated, service_role;

comment on function jobsdb.sketch(float8[], bigint[]) is
'Makes a distribution of durations and how often each occurred; the same duration may occur several times.
Units:   seconds; null is left out.
Returns: the distribution.
Errors:  none.
Source:  sql/functions/metrics/sketch.sql';
