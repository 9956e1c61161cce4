-- bundle 1
-- Job by job, because the index serves the cancel of a job as well.
create or replace function jobsdb.promote_due(
  max_tasks int default 1000
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
  v_rows int;
  v_promoted int := 0;
begin
  for v_job_id in
    select r.job_id
    from jobsdb.runnable_jobs as r
    where exists (
      select from public.job_tasks as q
      where q.job_id = r.job_id and q.waits_until <= clock_timestamp()
    )
  loop
    update public.job_tasks as t
    set
      waits_until = null,
      pos = jobsdb.next_pos(t.job_id, t.kind, t.priority),
      rev = t.rev + 1
    where t.id = any(array(
      select q.id
      from public.job_tasks as q
      where q.job_id = v_job_id and q.waits_until <= clock_timestamp()
      order by q.waits_until
      limit promote_due.max_tasks
      for no key update skip locked
    ));
    get diagnostics v_rows = row_count;
    v_promoted := v_promoted + v_rows;
  end loop;
  return v_promoted;
end;
$$;
revoke all on function jobsdb.promote_due(int) from public, anon, authenticated, service_role;

comment on function jobsdb.promote_due(int) is
'Makes tasks claimable whose time has come, in jobs that may be worked on.
Units:   max_tasks of each job.
Returns: number of tasks.
Errors:  none.
Source:  sql/functions/work/promote_due.sql';
