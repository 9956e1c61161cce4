-- bundle 1
-- Rows somebody holds are left for later: either he finishes them, and that counts, or he is
-- refused and the next call skips them. The counters already say "skipped", so nothing is counted
-- here.
-- No sequential scans: see jobsdb.guard_task_insert.
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
set enable_seqscan to off
as $$
declare
  v_skipped int := 0;
  v_rows int;
  v_where text;
begin
  -- Every open task is in one of these small indexes, or named by a lease.
  foreach v_where in array array['ready', 'waiting', 'later', 'running'] loop
    update public.job_tasks as t
    set
      status = 'skipped',
      finished_at = now(),
      waits_on = null,
      waits_until = null,
      pos = null,
      lease_token = null,
      lease_expires_at = null,
      locked_by = null,
      rev = t.rev + 1
    where t.id = any(case v_where
      when 'ready' then array(
        select q.id
        from public.job_tasks as q
        where q.job_id = skip_open_tasks.job_id and q.pos is not null
        limit skip_open_tasks.max_rows - v_skipped
        for update skip locked
      )
      when 'waiting' then array(
        select q.id
        from public.job_tasks as q
        where q.job_id = skip_open_tasks.job_id and q.waits_on is not null
        limit skip_open_tasks.max_rows - v_skipped
        for update skip locked
      )
      when 'later' then array(
        select q.id
        from public.job_tasks as q
        where q.job_id = skip_open_tasks.job_id and q.waits_until is not null
        limit skip_open_tasks.max_rows - v_skipped
        for update skip locked
      )
      else array(
        select q.id
        from jobsdb.leases as l
        cross join unnest(l.task_ids) as i (id)
        inner join public.job_tasks as q on q.id = i.id
        where l.job_id = skip_open_tasks.job_id and q.org_id = l.org_id and q.status = 'running'
        limit skip_open_tasks.max_rows - v_skipped
        for update of q skip locked
      )
    end);
    get diagnostics v_rows = row_count;
    v_skipped := v_skipped + v_rows;
  end loop;

  -- The note stays for five minutes even when nothing is left, so that a straggler is found.
  if current_setting('transaction_isolation') = 'read committed' then
    delete from jobsdb.closed_jobs as c
    where c.job_id = skip_open_tasks.job_id
      and c.closed_at < now() - interval '5 minutes'
      and not exists (
        select from public.job_tasks as q where q.job_id = c.job_id and q.pos is not null
      )
      and not exists (
        select from public.job_tasks as q where q.job_id = c.job_id and q.waits_on is not null
      )
      and not exists (
        select from public.job_tasks as q where q.job_id = c.job_id and q.waits_until is not null
      )
      and not exists (
        select from jobsdb.leases as l
        cross join unnest(l.task_ids) as i (id)
        inner join public.job_tasks as q on q.id = i.id and q.org_id = l.org_id
        where l.job_id = c.job_id and q.status = 'running'
      );
  end if;
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
