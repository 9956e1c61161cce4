-- 4110 Counters equal a recount.
-- so: progress, metrics and "may it succeed?" are answered wrongly
--
-- One statement, so that it is right while others write. What waits to be folded counts
-- (jobsdb.job_deltas). In a failed or cancelled job everything that is neither done nor in error
-- is skipped, whatever its row still says.
with tasks as (
  select
    t.job_id,
    count(*) as total,
    count(*) filter (where t.status = 'done') as done,
    count(*) filter (where t.status = 'error') as error,
    count(*) filter (where t.status = 'skipped') as skipped
  from public.job_tasks as t
  group by t.job_id
),

cards as (
  select
    k.job_id,
    count(*) as total,
    count(*) filter (where k.state::text = 'in_review') as in_review,
    count(*) filter (where k.state::text = 'approved') as approved,
    count(*) filter (where k.state::text = 'rejected') as rejected,
    count(*) filter (where k.state::text = 'done') as done
  from public.kanban_cards as k
  where k.job_id is not null
  group by k.job_id
),

deltas as (
  select
    d.job_id,
    sum(d.tasks_total) as tasks_total,
    sum(d.tasks_done) as tasks_done,
    sum(d.tasks_error) as tasks_error,
    sum(d.tasks_skipped) as tasks_skipped,
    sum(d.cards_total) as cards_total,
    sum(d.cards_in_review) as cards_in_review,
    sum(d.cards_approved) as cards_approved,
    sum(d.cards_rejected) as cards_rejected,
    sum(d.cards_done) as cards_done,
    sum(d.cards_other) as cards_other
  from jobsdb.job_deltas as d
  group by d.job_id
)

select
  format('job %s', j.id) as object,
  string_agg(format('%s %s', n.counter, n.counted), ', ' order by n.counter) as missing,
  string_agg(format('%s %s', n.counter, n.stored), ', ' order by n.counter) as extra,
  format(
    'update public.jobs set %s where id = %L;',
    string_agg(
      format(
        '%1$s = %1$s %2$s %3$s',
        n.counter,
        case when n.counted < n.stored then '-' else '+' end,
        abs(n.counted - n.stored)
      ),
      ', ' order by n.counter
    ),
    j.id
  ) as fix
from public.jobs as j
left join deltas as d on j.id = d.job_id
left join tasks as t on j.id = t.job_id
left join cards as k on j.id = k.job_id
cross join
  lateral (
    values
    ('tasks_total', coalesce(t.total, 0), j.tasks_total + coalesce(d.tasks_total, 0)),
    ('tasks_done', coalesce(t.done, 0), j.tasks_done + coalesce(d.tasks_done, 0)),
    ('tasks_error', coalesce(t.error, 0), j.tasks_error + coalesce(d.tasks_error, 0)),
    (
      'tasks_skipped',
      case
        when j.status in ('failed', 'cancelled') then coalesce(t.total - t.done - t.error, 0)
        else coalesce(t.skipped, 0)
      end,
      j.tasks_skipped + case
        when
          j.status in ('failed', 'cancelled')
          then coalesce(d.tasks_total - d.tasks_done - d.tasks_error, 0)
        else coalesce(d.tasks_skipped, 0)
      end
    ),
    ('cards_total', coalesce(k.total, 0), j.cards_total + coalesce(d.cards_total, 0)),
    (
      'cards_in_review',
      coalesce(k.in_review, 0),
      j.cards_in_review + coalesce(d.cards_in_review, 0)
    ),
    ('cards_approved', coalesce(k.approved, 0), j.cards_approved + coalesce(d.cards_approved, 0)),
    ('cards_rejected', coalesce(k.rejected, 0), j.cards_rejected + coalesce(d.cards_rejected, 0)),
    ('cards_done', coalesce(k.done, 0), j.cards_done + coalesce(d.cards_done, 0)),
    (
      'cards_other',
      coalesce(k.total - k.in_review - k.approved - k.rejected - k.done, 0),
      j.cards_other + coalesce(d.cards_other, 0)
    )
  ) as n (counter, counted, stored)
where n.counted <> n.stored
group by j.id
order by object
limit 100;
