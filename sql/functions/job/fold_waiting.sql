-- bundle 1
-- For whoever has time: deltas are exact without it, it only keeps their number small.
create or replace function jobsdb.fold_waiting(
  max_jobs int default 1000
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
  v_folded int := 0;
begin
  -- Left by transactions that added to a job which another one has deleted meanwhile.
  delete from jobsdb.job_deltas as d
  where not exists (select from public.jobs as j where j.id = d.job_id);

  for v_job_id in
    select d.job_id
    from jobsdb.job_deltas as d
    group by d.job_id
    order by d.job_id
    limit fold_waiting.max_jobs
  loop
    perform from public.jobs as j where j.id = v_job_id for no key update skip locked;
    if found then
      perform jobsdb.fold_job(v_job_id);
      v_folded := v_folded + 1;
    end if;
  end loop;
  return v_folded;
end;
$$;
revoke all on function jobsdb.fold_waiting(int) from public, anon, authenticated, service_role;

comment on function jobsdb.fold_waiting(int) is
'Folds the deltas of up to max_jobs jobs whose row is free.
Units:   max_jobs in jobs.
Returns: number of jobs folded.
Errors:  none.
Source:  sql/functions/job/fold_waiting.sql';
