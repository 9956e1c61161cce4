-- bundle 1
-- The caller holds the job row, so two sessions never fold the same deltas. In a failed or
-- cancelled job what is neither done nor error is skipped, whatever the rows still say.
create or replace function jobsdb.fold_job(
  job_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_sum record;
  v_job record;
begin
  with gone as (
    delete from jobsdb.job_deltas as d
    where d.job_id = fold_job.job_id
    returning d.*
  )
  select
    count(*) as n,
    sum(g.tasks_total)::int as tasks_total,
    sum(g.tasks_done)::int as tasks_done,
    sum(g.tasks_error)::int as tasks_error,
    sum(g.tasks_skipped)::int as tasks_skipped,
    sum(g.cards_total)::int as cards_total,
    sum(g.cards_in_review)::int as cards_in_review,
    sum(g.cards_approved)::int as cards_approved,
    sum(g.cards_rejected)::int as cards_rejected,
    sum(g.cards_done)::int as cards_done,
    sum(g.cards_other)::int as cards_other
  into v_sum
  from gone as g;

  if v_sum.n = 0 then
    return;
  end if;

  update public.jobs as j
  set
    tasks_total = j.tasks_total + v_sum.tasks_total,
    tasks_done = j.tasks_done + v_sum.tasks_done,
    tasks_error = j.tasks_error + v_sum.tasks_error,
    tasks_skipped = case
      when j.status in ('failed', 'cancelled')
        then j.tasks_total + v_sum.tasks_total
          - j.tasks_done - v_sum.tasks_done
          - j.tasks_error - v_sum.tasks_error
      else j.tasks_skipped + v_sum.tasks_skipped
    end,
    cards_total = j.cards_total + v_sum.cards_total,
    cards_in_review = j.cards_in_review + v_sum.cards_in_review,
    cards_approved = j.cards_approved + v_sum.cards_approved,
    cards_rejected = j.cards_rejected + v_sum.cards_rejected,
    cards_done = j.cards_done + v_sum.cards_done,
    cards_other = j.cards_other + v_sum.cards_other,
    updated_at = now()
  where j.id = fold_job.job_id
  returning j.org_id, j.status
  into v_job;

  if v_job.status in ('succeeded', 'failed', 'cancelled') then
    insert into jobsdb.unfrozen_jobs (job_id, org_id)
    values (fold_job.job_id, v_job.org_id);
  end if;
end;
$$;
revoke all on function jobsdb.fold_job(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.fold_job(uuid) is
'Adds a job''s waiting deltas to its counters. The caller must hold the job row.
Returns: nothing.
Errors:  none.
Source:  sql/functions/job/fold_job.sql';
