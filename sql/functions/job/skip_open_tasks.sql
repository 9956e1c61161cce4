-- bundle 1
-- Rows somebody holds are left for later: either he finishes them, and that counts, or he is
-- refused and the next call skips them. The counters already say "skipped", so nothing is counted
-- here.
create or replace function jobsdb.skip_open_tasks(
  job_id uuid,
  max_rows int
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_skipped int := 0;
  v_rows int;
  v_status text;
begin
  foreach v_status in array array['pending', 'running'] loop
    update public.job_tasks as t
    set
      status = 'skipped',
      finished_at = now(),
      waits_on = null,
      lease_token = null,
      lease_expires_at = null,
      locked_by = null,
      rev = t.rev + 1
    where t.id = any(array(
      select q.id
      from public.job_tasks as q
      where q.job_id = skip_open_tasks.job_id and q.status = v_status
      limit skip_open_tasks.max_rows - v_skipped
      for update skip locked
    ));
    get diagnostics v_rows = row_count;
    v_skipped := v_skipped + v_rows;
  end loop;

  -- An old snapshot may miss some: only a fresh one can tell that nothing is left.
  delete from jobsdb.closed_jobs as c
  where c.job_id = skip_open_tasks.job_id
    and current_setting('transaction_isolation') = 'read committed'
    and not exists (
      select from public.job_tasks as q
      where q.job_id = c.job_id and q.status = 'pending'
    )
    and not exists (
      select from public.job_tasks as q
      where q.job_id = c.job_id and q.status = 'running'
    );
  return v_skipped;
end;
$$;
revoke all on function jobsdb.skip_open_tasks(uuid, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.skip_open_tasks(uuid, int) is
'Marks up to max_rows open tasks of a failed or cancelled job as skipped, without waiting for any.
Units:   max_rows in tasks.
Returns: number of tasks marked.
Errors:  none.
Source:  sql/functions/job/skip_open_tasks.sql';
