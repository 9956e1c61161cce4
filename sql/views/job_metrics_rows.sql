-- bundle 3
-- Row-level security does not exist for a materialized view: this function is its policy.
create or replace function jobsdb.job_metrics_rows()
returns setof jobsdb.frozen_job_metrics
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_all boolean := jobsdb.caller() <> 'tenant';
  v_orgs uuid[] := jobsdb.my_org_ids();
  v_row jobsdb.frozen_job_metrics;
  v_refreshed_at timestamptz;
begin
  select r.refreshed_at
  into v_refreshed_at
  from jobsdb.metrics_refresh as r;

  for v_row in
    select m.*
    from jobsdb.job_metrics_mv as m
    where (v_all or m.org_id = any(v_orgs))
      -- It may have finished while the view was being refreshed.
      and not exists (
        select from jobsdb.frozen_job_metrics as f
        where f.job_id = m.job_id and f.org_id = m.org_id
      )
    union all
    select f.*
    from jobsdb.frozen_job_metrics as f
    where v_all or f.org_id = any(v_orgs)
  loop
    v_row.refreshed_at := v_refreshed_at;  -- a frozen row is as good as the last refresh
    return next v_row;
  end loop;
end;
$$;
revoke all on function jobsdb.job_metrics_rows() from public, anon, authenticated, service_role;
grant execute on function jobsdb.job_metrics_rows() to authenticated, service_role;

comment on function jobsdb.job_metrics_rows() is
'Gives the metrics rows of the caller''s organisations as of the last refresh; all of them to service role and owner.
Returns: rows of job_metrics.
Errors:  none.
Source:  sql/views/job_metrics_rows.sql';
