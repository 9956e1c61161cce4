-- bundle 1
-- A lease's row says when to look; whether a task is still held, and until when, its own row says,
-- and that is asked again in the UPDATE. Rows that somebody is changing right now are left for the
-- next look, so a heartbeat that came first wins.
create or replace function jobsdb.rescue_tasks(
  max_leases int default 1000
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_lease record;
  v_is_open boolean;
  v_errors int;
  v_rows int;
  v_rescued int := 0;
  v_next timestamptz;
begin
  for v_lease in
    select l.job_id, l.org_id, l.token, l.task_ids
    from jobsdb.leases as l
    where l.look_at <= clock_timestamp()
    order by l.look_at
    limit rescue_tasks.max_leases
    for update skip locked
  loop
    v_is_open := exists (
      select from public.jobs as j
      where j.id = v_lease.job_id
        and j.org_id = v_lease.org_id
        and j.status in ('pending', 'running')
    );
    with rescued as (
      update public.job_tasks as t
      set
        status = case
          when not v_is_open then 'skipped'
          when t.retry_count < coalesce(t.max_retries, 0) then 'pending'
          else 'error'
        end,
        pos = case
          when v_is_open and t.retry_count < coalesce(t.max_retries, 0)
            then jobsdb.next_pos(t.job_id, t.kind, t.priority)
        end,
        retry_count = t.retry_count
          + (v_is_open and t.retry_count < coalesce(t.max_retries, 0))::int,
        started_at = case
          when not (v_is_open and t.retry_count < coalesce(t.max_retries, 0)) then t.started_at
        end,
        finished_at = case
          when not (v_is_open and t.retry_count < coalesce(t.max_retries, 0)) then now()
        end,
        error_message = case
          when v_is_open
            then format(
              'lost with its worker %s: the lease ended at %s, for the %s. time',
              t.locked_by, t.lease_expires_at, t.retry_count::bigint + 1
            )
          else t.error_message
        end,
        lease_expires_at = null,
        lease_token = null,
        locked_by = null,
        rev = t.rev + 1
      where t.id = any(array(
        select q.id
        from public.job_tasks as q
        where q.id = any(v_lease.task_ids)
          and q.status = 'running'
          and q.lease_token = v_lease.token
          and q.lease_expires_at <= clock_timestamp()
        order by q.id
        for no key update skip locked
      ))
      and t.org_id = v_lease.org_id
      and t.status = 'running'
      and t.lease_token = v_lease.token
      and t.lease_expires_at <= clock_timestamp()
      returning t.id, t.status
    ),
    moved as (
      insert into jobsdb.task_moves (job_id, org_id, task_ids, error, retries)
      select
        v_lease.job_id,
        v_lease.org_id,
        array_agg(r.id) filter (where r.status = 'error'),
        1,
        count(*) filter (where r.status = 'pending')
      from rescued as r
      having count(*) filter (where r.status <> 'skipped') > 0
    )
    select count(*), count(*) filter (where r.status = 'error')
    into v_rows, v_errors
    from rescued as r;
    v_rescued := v_rescued + v_rows;
    perform jobsdb.count_tasks(v_lease.job_id, v_lease.org_id, 0, 0, v_errors);

    select min(t.lease_expires_at)
    into v_next
    from public.job_tasks as t
    where t.id = any(v_lease.task_ids)
      and t.org_id = v_lease.org_id
      and t.status = 'running'
      and t.lease_token = v_lease.token;
    if v_next is null then
      delete from jobsdb.leases as l
      where l.job_id = v_lease.job_id and l.token = v_lease.token;
    else
      update jobsdb.leases as l
      set look_at = v_next
      where l.job_id = v_lease.job_id and l.token = v_lease.token;
    end if;
  end loop;
  return v_rescued;
end;
$$;
revoke all on function jobsdb.rescue_tasks(int) from public, anon, authenticated, service_role;

comment on function jobsdb.rescue_tasks(int) is
'Takes tasks back whose lease has ended: they become pending again, or error after max_retries times, or skipped when their job is finished. Removes leases whose tasks have all moved on.
Units:   max_leases in rows of jobsdb.leases.
Returns: number of tasks taken back.
Errors:  none.
Source:  sql/functions/work/rescue_tasks.sql';
