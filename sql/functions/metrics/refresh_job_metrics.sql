-- bundle 3
-- One at a time: whoever holds the guard row works, others are told the time of the present data.
-- The long part comes first and takes no lock anybody waits for: what tasks of open jobs have done
-- is added up once, then the view reads the sums. Quickly comes what is left to whoever has time:
-- adding up and freezing finished jobs, folding deltas, skipping rows of closed jobs, missed steps.
create or replace function public.refresh_job_metrics()
returns timestamptz
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set jit to off
as $$
declare
  v_job record;
begin
  perform from jobsdb.metrics_refresh as r for update skip locked;
  if not found then
    return (select r.refreshed_at from jobsdb.metrics_refresh as r);
  end if;

  perform jobsdb.fold_moves(of_finished_jobs => false);
  refresh materialized view concurrently jobsdb.job_metrics_mv;
  perform jobsdb.fold_moves(of_finished_jobs => true);

  -- Also those whose last changes are not folded yet.
  for v_job in
    select u.job_id
    from jobsdb.unfrozen_jobs as u
    union
    select d.job_id
    from jobsdb.job_deltas as d
    inner join public.jobs as j on j.id = d.job_id
    where j.status in ('succeeded', 'failed', 'cancelled')
    order by job_id
  loop
    -- Held by somebody, perhaps to delete it: next time.
    perform from public.jobs as j where j.id = v_job.job_id for key share skip locked;
    continue when not found;
    delete from jobsdb.unfrozen_jobs as u where u.job_id = v_job.job_id;
    delete from jobsdb.frozen_job_metrics as f where f.job_id = v_job.job_id;
    insert into jobsdb.frozen_job_metrics
    select m.* from jobsdb.measure_job(v_job.job_id) as m;
  end loop;

  perform jobsdb.finish_closed_jobs();
  perform jobsdb.release_missed(null, 100000);
  perform jobsdb.fold_waiting();

  update jobsdb.metrics_refresh as r
  set refreshed_at = now()
  where r.only_row;
  return now();
end;
$$;
revoke all on function public.refresh_job_metrics() from public, anon, authenticated, service_role;
grant execute on function public.refresh_job_metrics() to service_role;

comment on function public.refresh_job_metrics() is
'Brings job_metrics up to date without blocking readers. Service role and owner only; call it every five minutes, e.g. with pg_cron.
Returns: time of the data now shown; that of the last refresh when another session is refreshing.
Errors:  none.
Source:  sql/functions/metrics/refresh_job_metrics.sql';
