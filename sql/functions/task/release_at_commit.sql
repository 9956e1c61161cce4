-- bundle 1
-- The guard cannot touch other rows of the statement it runs in, so it leaves a note; here every
-- row of the transaction has its final state. No sequential scans: see jobsdb.guard_task_insert.
create or replace function jobsdb.release_at_commit()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
begin
  if tg_relid <> 'jobsdb.missed_steps'::regclass then
    perform jobsdb.refuse_trigger('jobsdb.missed_steps');
  end if;

  -- An old snapshot may miss some: a fresh one does it, with the next refresh.
  if current_setting('transaction_isolation') <> 'read committed' then
    return null;
  end if;
  -- The first note of a job works all of them off; the others find nothing.
  if exists (
    select from jobsdb.missed_steps as m
    where m.job_id = new.job_id
      and m.batch = new.batch
      and m.step = new.step
      and m.id = new.id
  ) then
    perform jobsdb.release_missed(new.job_id);
  end if;
  return null;
end;
$$;
revoke all on function jobsdb.release_at_commit() from public, anon, authenticated, service_role;

comment on function jobsdb.release_at_commit() is
'Trigger: makes dependents claimable when the transaction that ended their step commits.
Returns: null.
Errors:  none.
Source:  sql/functions/task/release_at_commit.sql';
