-- bundle 2
create or replace function jobsdb.count_cards(
  changes jobsdb.card_count[]
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
begin
  for v_job in
    select
      c.job_id,
      c.org_id,
      sum(c.cards)::int as total,
      coalesce(sum(c.cards) filter (where c.state = 'in_review'), 0)::int as in_review,
      coalesce(sum(c.cards) filter (where c.state = 'approved'), 0)::int as approved,
      coalesce(sum(c.cards) filter (where c.state = 'rejected'), 0)::int as rejected,
      coalesce(sum(c.cards) filter (where c.state = 'done'), 0)::int as done
    from unnest(count_cards.changes) as c
    group by c.job_id, c.org_id
    order by c.job_id
  loop
    -- Nothing to count when the job itself goes.
    continue when not exists (
      select from public.jobs as j where j.id = v_job.job_id and j.org_id = v_job.org_id
    );
    insert into jobsdb.job_deltas (
      job_id,
      org_id,
      cards_total,
      cards_in_review,
      cards_approved,
      cards_rejected,
      cards_done,
      cards_other
    )
    values (
      v_job.job_id,
      v_job.org_id,
      v_job.total,
      v_job.in_review,
      v_job.approved,
      v_job.rejected,
      v_job.done,
      v_job.total - v_job.in_review - v_job.approved - v_job.rejected - v_job.done
    );
    if jobsdb.lock_job(v_job.job_id) then
      perform jobsdb.fold_job(v_job.job_id);
    end if;
  end loop;
end;
$$;
revoke all on function jobsdb.count_cards(jobsdb.card_count[])
from public, anon, authenticated, service_role;

comment on function jobsdb.count_cards(jobsdb.card_count[]) is
'Adds changes of the number of cards per job and state to the jobs'' counters, jobs in order of id.
Returns: nothing.
Errors:  none.
Source:  sql/functions/card/count_cards.sql';
