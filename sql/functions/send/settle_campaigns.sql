-- bundle 5
create or replace function jobsdb.settle_campaigns(
  max_jobs int default 100
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job record;
  v_settled int := 0;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return 0;  -- an old snapshot may not see what is open
  end if;
  for v_job in
    select
      p.job_id,
      p.org_id,
      exists (
        select from jobsdb.due_contacts as d
        where d.job_id = p.job_id and d.org_id = p.org_id
      ) as waits
    from jobsdb.planned_jobs as p
    inner join jobsdb.runnable_jobs as r on r.job_id = p.job_id and r.org_id = p.org_id
    order by random()
    limit settle_campaigns.max_jobs
  loop
    begin
      if v_job.waits then
        perform jobsdb.end_dropped_cards(v_job.job_id, v_job.org_id);
        perform jobsdb.end_send_tasks(v_job.job_id, v_job.org_id);
      else
        v_settled := v_settled
          + ((jobsdb.settle_job(v_job.job_id)).status in ('succeeded', 'failed'))::int;
      end if;
    exception
      when others then
        if jobsdb.is_passing(sqlstate) then
          raise;
        end if;
        raise warning 'job "%" cannot be settled: %', v_job.job_id, sqlerrm;
    end;
  end loop;
  return v_settled;
end;
$$;
revoke all on function jobsdb.settle_campaigns(int)
from public, anon, authenticated, service_role;

comment on function jobsdb.settle_campaigns(int) is
'Ends the send tasks of running campaigns, and those campaigns of which no contact waits for a day to come.
Returns: number of jobs that have ended.
Errors:  none.
Source:  sql/functions/send/settle_campaigns.sql';
