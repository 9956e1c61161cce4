-- bundle 1
-- A trigger function runs as its owner for whoever fires it: attached to a table of somebody else's
-- it would believe that table's rows.
create or replace function jobsdb.refuse_trigger(
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
  raise exception using
    errcode = 'JB090',
    message = 'this trigger function belongs to another table',
    detail = format('It guards %s.', refuse_trigger.expected),
    hint = 'Drop the trigger; `jobsdb migrate` makes those that belong.';
end;
$$;
revoke all on function jobsdb.refuse_trigger(regclass)
from public, anon, authenticated, service_role;

comment on function jobsdb.refuse_trigger(regclass) is
'Raises the error for a trigger function of ours on any table but its own.
Returns: never.
Errors:  JB090 always.
Source:  sql/functions/access/refuse_trigger.sql';
