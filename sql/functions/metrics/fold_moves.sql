-- bundle 3
-- Only the one session that refreshes the metrics calls it. Moves are taken away by the statement
-- that adds them up: what is committed meanwhile is in neither and stays for the next time. It
-- locks no open job: no status change waits for it.
create or replace function jobsdb.fold_moves(
  of_finished_jobs boolean
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job record;
  v_status text;
begin
  for v_job in
    select m.job_id as id
    from (select distinct a.job_id, a.org_id from jobsdb.task_moves as a) as m
    left join public.jobs as j on j.id = m.job_id and j.org_id = m.org_id
    where fold_moves.of_finished_jobs
      = coalesce(j.status in ('succeeded', 'failed', 'cancelled'), false)
    order by id
  loop
    v_status := (select j.status from public.jobs as j where j.id = v_job.id);
    if v_status is null then
      delete from jobsdb.task_moves as m where m.job_id = v_job.id;
      delete from jobsdb.task_rollups as r where r.job_id = v_job.id;
      continue;
    elsif v_status in ('succeeded', 'failed', 'cancelled') then
      -- Finished meanwhile: with the others.
      continue when not fold_moves.of_finished_jobs;
      -- Its frozen metrics follow. Held by somebody, perhaps to delete it: next time.
      perform from public.jobs as j where j.id = v_job.id for key share skip locked;
      continue when not found;
      perform jobsdb.refreeze_job(v_job.id);
    end if;
    with gone as (
      delete from jobsdb.task_moves as m
      where m.job_id = v_job.id
    )
    insert into jobsdb.task_rollups as r (job_id, org_id, kinds, retries, run, wait)
    select n.job_id, n.org_id, n.kinds, n.retries, n.run, n.wait
    from jobsdb.rollup_of(v_job.id) as n
    where n.job_id is not null
    on conflict on constraint task_rollups_pkey do update
    set
      kinds = excluded.kinds,
      retries = excluded.retries,
      run = excluded.run,
      wait = excluded.wait;
  end loop;
end;
$$;
revoke all on function jobsdb.fold_moves(boolean) from public, anon, authenticated, service_role;

comment on function jobsdb.fold_moves(boolean) is
'Adds what has happened to tasks to the sums of their jobs.
Units:   of_finished_jobs: of those, which it locks; else of the others.
Returns: nothing.
Errors:  none.
Source:  sql/functions/metrics/fold_moves.sql';
