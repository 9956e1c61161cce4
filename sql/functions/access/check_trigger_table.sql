-- bundle 1
-- A trigger function runs as its owner for whoever fires it: attached to a table of somebody else's
-- it would believe that table's rows.
create or replace function jobsdb.check_trigger_table(
  fired_by oid,
  expected regclass
)
returns void
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  if check_trigger_table.fired_by <> check_trigger_table.expected then
    raise exception using
      errcode = 'JB090',
      message = 'this trigger function belongs to another table',
      detail = format('It guards %s.', check_trigger_table.expected),
      hint = 'Drop the trigger; `jobsdb migrate` makes those that belong.';
  end if;
end;
$$;
revoke all on function jobsdb.check_trigger_table(oid, regclass)
from public, anon, authenticated, service_role;

comment on function jobsdb.check_trigger_table(oid, regclass) is
'Refuses a trigger function of ours on any table but its own.
Returns: nothing.
Errors:  JB090 fired by another table.
Source:  sql/functions/access/check_trigger_table.sql';
