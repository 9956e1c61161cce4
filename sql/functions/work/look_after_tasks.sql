-- bundle 1
-- Each part costs next to nothing when there is nothing to do.
create or replace function jobsdb.look_after_tasks(
  max_rows int
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_ready int;
begin
  -- What it does with locked rows raises above READ COMMITTED.
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  v_ready := jobsdb.rescue_tasks(look_after_tasks.max_rows)
    + jobsdb.promote_due(look_after_tasks.max_rows)
    + jobsdb.release_missed(null, look_after_tasks.max_rows);
  perform jobsdb.fold_waiting(look_after_tasks.max_rows);
  return v_ready > 0;
end;
$$;
revoke all on function jobsdb.look_after_tasks(int)
from public, anon, authenticated, service_role;

comment on function jobsdb.look_after_tasks(int) is
'Rescues, promotes, releases and folds what waits for somebody who has time.
Units:   max_rows of each sort.
Returns: whether a task may have become claimable.
Errors:  none.
Source:  sql/functions/work/look_after_tasks.sql';
