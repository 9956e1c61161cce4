-- bundle 3
-- It trusts its caller to have the right to the job, as jobsdb.measure_job does. The job may have
-- finished while the view was being refreshed: what is frozen comes first. A frozen row is as good
-- as the last refresh.
create or replace function jobsdb.stored_metrics(
  job_id uuid
)
returns setof jobsdb.frozen_job_metrics
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_row jobsdb.frozen_job_metrics;
begin
  select f.*
  into v_row
  from jobsdb.frozen_job_metrics as f
  where f.job_id = stored_metrics.job_id;
  if not found then
    select m.*
    into v_row
    from jobsdb.job_metrics_mv as m
    where m.job_id = stored_metrics.job_id;
  end if;
  if found then
    v_row.refreshed_at := (select r.refreshed_at from jobsdb.metrics_refresh as r);
    return next v_row;
  end if;
end;
$$;
revoke all on function jobsdb.stored_metrics(uuid)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.stored_metrics(uuid) to authenticated, service_role;

comment on function jobsdb.stored_metrics(uuid) is
'Gives the metrics of a job as of the last refresh.
Returns: a row of job_metrics; none for a job that is unknown or newer than that.
Errors:  none.
Source:  sql/views/stored_metrics.sql';
