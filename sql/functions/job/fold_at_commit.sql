-- bundle 1
-- A bulk UPDATE in plain SQL leaves a delta per task: writing each into the job at once would chain
-- as many versions of one row. They are folded together when the transaction commits.
create or replace function jobsdb.fold_at_commit()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job_id uuid;
begin
  if tg_relid <> 'jobsdb.job_deltas'::regclass then
    perform jobsdb.refuse_trigger('jobsdb.job_deltas');
  end if;

  if current_setting('jobsdb.counted', true) is distinct from 'yes' then
    return null;  -- an earlier delta of this transaction has done it for all
  end if;
  perform set_config('jobsdb.counted', '', true);

  for v_job_id in
    select distinct d.job_id
    from jobsdb.job_deltas as d
    where d.xid = pg_current_xact_id()
    order by d.job_id
  loop
    if jobsdb.lock_job(v_job_id) then
      perform jobsdb.fold_job(v_job_id);
    end if;
  end loop;
  return null;
end;
$$;
revoke all on function jobsdb.fold_at_commit() from public, anon, authenticated, service_role;

comment on function jobsdb.fold_at_commit() is
'Trigger: folds, when a transaction commits, what it has left in jobsdb.job_deltas.
Returns: null.
Errors:  none.
Source:  sql/functions/job/fold_at_commit.sql';
