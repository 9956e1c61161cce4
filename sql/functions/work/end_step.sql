-- bundle 1
-- No sequential scans: see jobsdb.guard_task_insert.
create or replace function jobsdb.end_step(
  job_id uuid,
  org_id uuid,
  batch int,
  step int
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
begin
  if current_setting('transaction_isolation') = 'read committed' then
    perform jobsdb.release_step(
      end_step.job_id, end_step.org_id, end_step.batch, end_step.step
    );
    if not exists (
      select from public.job_tasks as w
      where w.job_id = end_step.job_id
        and w.batch = end_step.batch
        and w.waits_on = end_step.step
    ) then
      return;
    end if;
  end if;
  insert into jobsdb.missed_steps (job_id, org_id, batch, step, by_its_end)
  values (end_step.job_id, end_step.org_id, end_step.batch, end_step.step, true);
end;
$$;
revoke all on function jobsdb.end_step(uuid, uuid, int, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.end_step(uuid, uuid, int, int) is
'Makes the dependents of a step that a worker has just ended claimable; leaves a note for those somebody holds.
Returns: nothing.
Errors:  none.
Source:  sql/functions/work/end_step.sql';
