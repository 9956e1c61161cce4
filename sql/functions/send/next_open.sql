-- bundle 5
-- Days and hours are those of the contact's clock, daylight saving included: an opening that does
-- not exist that night is later, and one that exists twice counts once.
create or replace function jobsdb.next_open(
  params jsonb,
  time_zone text,
  not_before timestamptz
)
returns timestamptz
language plpgsql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_window record;
  v_zone text;
  v_day date;
  v_at timestamptz;
begin
  if not next_open.params ? 'send_window' then
    return next_open.not_before;
  end if;
  select w.* into v_window from jobsdb.send_window(next_open.params) as w;
  v_zone := case
    when v_window.is_local and jobsdb.is_time_zone(next_open.time_zone) then next_open.time_zone
    when jobsdb.is_time_zone(v_window.time_zone) then v_window.time_zone
    else 'UTC'
  end;

  for v_offset in 0..14 loop
    v_day := (next_open.not_before at time zone v_zone)::date + v_offset;
    continue when extract(isodow from v_day)::int <> all(v_window.days);
    v_at := greatest(next_open.not_before, (v_day + v_window.opens) at time zone v_zone);
    -- The first of two equal hours may be over, or the hour may be missing.
    if (v_at at time zone v_zone)::time < v_window.opens then
      v_at := v_at + interval '1 hour';
    end if;
    if (v_at at time zone v_zone) >= v_day + v_window.opens
      and (v_at at time zone v_zone) < v_day + v_window.closes then
      return v_at;
    end if;
  end loop;
  return next_open.not_before;
end;
$$;
revoke all on function jobsdb.next_open(jsonb, text, timestamptz)
from public, anon, authenticated, service_role;

comment on function jobsdb.next_open(jsonb, text, timestamptz) is
'Says when the sending window of a campaign is open next for a contact.
Units:   time_zone is the contact''s, null or unknown: that of the window, else UTC.
Returns: not_before itself when the window is open then, else the next opening.
Errors:  none once the params were checked.
Source:  sql/functions/send/next_open.sql';
