-- bundle 5
-- For cron, or one worker, about once a minute. Every part skips what others hold, so two at once
-- share the work. Workers that find nothing to do already do the most of it.
create or replace function public.tick()
returns jsonb
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_rescued int := jobsdb.rescue_tasks(10000);
  v_promoted int := jobsdb.promote_due(10000);
  v_released int := jobsdb.release_missed(null, 10000);
  v_resent int := jobsdb.rescue_sends(10000);
  v_skipped int := jobsdb.finish_closed_jobs(10000);
  v_folded int := jobsdb.fold_waiting(10000);
  v_expired int := jobsdb.expire_cards(1000);
  v_settled int := jobsdb.settle_campaigns(100);
  v_refreshed_at timestamptz;
begin
  perform jobsdb.mark_limited_jobs();
  -- A task started by plain SQL and ended otherwise leaves its lease behind; so does a deleted job.
  delete from jobsdb.leases as l
  where l.look_at = 'infinity'
    and not exists (
      select from public.job_tasks as t
      where t.id = any(l.task_ids)
        and t.org_id = l.org_id
        and t.status = 'running'
        and t.lease_token = l.token
    );

  select r.refreshed_at
  into v_refreshed_at
  from jobsdb.metrics_refresh as r;
  if coalesce(v_refreshed_at < now() - interval '5 minutes', true) then
    v_refreshed_at := public.refresh_job_metrics();
  end if;
  return jsonb_build_object(
    'rescued', v_rescued,
    'promoted', v_promoted,
    'released', v_released,
    'skipped', v_skipped,
    'folded', v_folded,
    'sends', v_resent,
    'expired', v_expired,
    'settled', v_settled,
    'refreshed_at', v_refreshed_at
  );
end;
$$;
revoke all on function public.tick() from public, anon, authenticated, service_role;
grant execute on function public.tick() to service_role;

comment on function public.tick() is
'Looks after everything that waits for somebody who has time: expired leases, due tasks, counters, rows of cancelled jobs, metrics older than five minutes. Service role only; call it about once a minute, e.g. with pg_cron.
Units:   rescued, promoted, released, skipped in tasks, folded and settled in jobs, sends in e-mails whose worker was lost, expired in cards.
Returns: {"rescued": n, "promoted": n, "released": n, "skipped": n, "folded": n, "sends": n, "expired": n, "settled": n, "refreshed_at": time}.
Errors:  none.
Source:  sql/functions/work/tick.sql';
