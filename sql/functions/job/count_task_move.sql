-- bundle 1
-- Called by the task guard for plain SQL. The first move of a transaction is in the job at once,
-- for people who look; the others follow when it commits (jobsdb.fold_at_commit).
create or replace function jobsdb.count_task_move(
  job_id uuid,
  org_id uuid,
  task_id bigint,
  from_status text,
  to_status text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_first boolean := current_setting('jobsdb.counted', true) is distinct from 'yes';
  v_done int := (count_task_move.to_status = 'done')::int
    - (count_task_move.from_status = 'done')::int;
  v_error int := (count_task_move.to_status = 'error')::int
    - (count_task_move.from_status = 'error')::int;
  v_skipped int := (count_task_move.to_status = 'skipped')::int
    - (count_task_move.from_status = 'skipped')::int;
begin
  insert into jobsdb.task_moves (job_id, org_id, task_id, done, error, skipped)
  values (
    count_task_move.job_id,
    count_task_move.org_id,
    count_task_move.task_id,
    nullif(v_done, 0),
    nullif(v_error, 0),
    nullif(v_skipped, 0)
  );
  insert into jobsdb.job_deltas (
    job_id, org_id, folds_at_commit, tasks_done, tasks_error, tasks_skipped
  )
  values (
    count_task_move.job_id,
    count_task_move.org_id,
    not v_first,
    v_done,
    v_error,
    v_skipped
  );
  if not v_first then
    return;
  end if;
  perform set_config('jobsdb.counted', 'yes', true);
  if jobsdb.lock_job(count_task_move.job_id) then
    perform jobsdb.fold_job(count_task_move.job_id);
  end if;
end;
$$;
revoke all on function jobsdb.count_task_move(uuid, uuid, bigint, text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.count_task_move(uuid, uuid, bigint, text, text) is
'Counts one task''s move of status in its job.
Returns: nothing.
Errors:  none.
Source:  sql/functions/job/count_task_move.sql';
