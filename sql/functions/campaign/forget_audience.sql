-- bundle 4
create or replace function jobsdb.forget_audience()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job record;
begin
  if tg_relid <> 'public.jobs'::regclass then
    perform jobsdb.refuse_trigger('public.jobs');
  end if;
  for v_job in
    select o.id, o.org_id from old_rows as o order by o.id
  loop
    delete from jobsdb.job_contacts as c where c.job_id = v_job.id and c.org_id = v_job.org_id;
    delete from jobsdb.due_contacts as d where d.job_id = v_job.id and d.org_id = v_job.org_id;
    -- The next refresh finds a move of a job that is gone, and deletes its sums: nobody waits for
    -- one that is under way.
    insert into jobsdb.task_moves (job_id, org_id, starts_anew)
    values (v_job.id, v_job.org_id, true);
  end loop;
  return null;
end;
$$;
revoke all on function jobsdb.forget_audience() from public, anon, authenticated, service_role;

comment on function jobsdb.forget_audience() is
'Trigger: deletes the audience of deleted jobs, and lets the sums over their tasks be deleted.
Returns: null.
Errors:  none.
Source:  sql/functions/campaign/forget_audience.sql';
