-- bundle 3
-- Only the one session that refreshes the metrics calls it. Moves are taken away by the statement
-- that adds them up: what is committed meanwhile is in neither and stays for the next time. It
-- locks no job: nobody waits for it.
create or replace function jobsdb.fold_moves()
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_nobody uuid := '00000000-0000-0000-0000-000000000000';
  v_all boolean := not exists (
    select from jobsdb.task_moves as m where m.job_id = v_nobody
  );
  v_job record;
begin
  for v_job in
    select distinct m.job_id as id
    from jobsdb.task_moves as m
    where m.job_id <> v_nobody
    union
    select j.id
    from public.jobs as j
    where v_all and (
      j.status in ('pending', 'running')
      or exists (select from jobsdb.unfrozen_jobs as u where u.job_id = j.id)
    )
    order by id
  loop
    if not exists (select from public.jobs as j where j.id = v_job.id) then
      delete from jobsdb.task_moves as m where m.job_id = v_job.id;
      delete from jobsdb.task_rollups as r where r.job_id = v_job.id;
      continue;
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
  if v_all then
    insert into jobsdb.task_moves (job_id, org_id) values (v_nobody, v_nobody);
  end if;
end;
$$;
revoke all on function jobsdb.fold_moves() from public, anon, authenticated, service_role;

comment on function jobsdb.fold_moves() is
'Adds what has happened to tasks to the sums of their jobs.
Returns: nothing.
Errors:  none.
Source:  sql/functions/metrics/fold_moves.sql';
