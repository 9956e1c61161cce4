-- bundle 1
create or replace function jobsdb.spend_allowance(
  org_id uuid,
  kind text,
  tasks int
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  update jobsdb.work_limits as l
  set
    window_began_at = case
      when clock_timestamp() >= l.window_began_at + l.per then clock_timestamp()
      else l.window_began_at
    end,
    starts = spend_allowance.tasks + case
      when clock_timestamp() >= l.window_began_at + l.per then 0
      else l.starts
    end
  where l.org_id = spend_allowance.org_id
    and l.kind in (spend_allowance.kind, '*')
    and l.max_starts is not null;
end;
$$;
revoke all on function jobsdb.spend_allowance(uuid, text, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.spend_allowance(uuid, text, int) is
'Counts claimed tasks against the limits of their organisation, which jobsdb.take_allowance has locked.
Returns: nothing.
Errors:  none.
Source:  sql/functions/work/spend_allowance.sql';
