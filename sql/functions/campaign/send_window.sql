-- bundle 4
create or replace function jobsdb.send_window(
  params jsonb
)
returns table (opens time, closes time, days int[], time_zone text, is_local boolean)
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_window jsonb := send_window.params -> 'send_window';
begin
  return query
  select
    coalesce(v_window ->> 'from', '00:00')::time,
    coalesce(v_window ->> 'to', '24:00')::time,
    coalesce(
      (
        select array_agg(w.day order by w.day)
        from jsonb_array_elements_text(v_window -> 'days') as d (name)
        inner join unnest(array['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']) with ordinality
          as w (name, day) on w.name = lower(left(d.name, 3))
      ),
      array[1, 2, 3, 4, 5, 6, 7]
    )::int[],
    coalesce(v_window ->> 'tz', 'UTC'),
    coalesce(v_window ->> 'in', 'contact') = 'contact';
end;
$$;
revoke all on function jobsdb.send_window(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.send_window(jsonb) is
'Reads params.send_window: {"from": "09:00", "to": "17:00", "days": ["mon", …], "tz": "Europe/Berlin", "in": "contact" or "job"}.
Returns: one row; without such a window it is always open. days: 1 is Monday; is_local: read in the contact''s time zone where it has one.
Errors:  none once the params were checked.
Source:  sql/functions/campaign/send_window.sql';
