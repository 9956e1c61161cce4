-- bundle 1
create or replace function jobsdb.finish_closed_jobs(
  max_rows int default 10000
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job_id uuid;
  v_skipped int := 0;
begin
  for v_job_id in
    select c.job_id
    from jobsdb.closed_jobs as c
    order by c.closed_at
    for update skip locked
  loop
    exit when v_skipped >= finish_closed_jobs.max_rows;
    v_skipped := v_skipped
      + jobsdb.skip_open_tasks(v_job_id, finish_closed_jobs.max_rows - v_skipped);
  end loop;
  return v_skipped;
end;
$$;
revoke all on function jobsdb.finish_closed_jobs(int)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.finish_closed_jobs(int) to service_role;

comment on function jobsdb.finish_closed_jobs(int) is
'Marks the open tasks that failed and cancelled jobs have left as skipped, at most max_rows in one call. Service role only.
Units:   max_rows in tasks.
Returns: number of tasks marked; 0 when nothing is left or all of it is held by others.
Errors:  none.
Source:  sql/functions/job/finish_closed_jobs.sql';
