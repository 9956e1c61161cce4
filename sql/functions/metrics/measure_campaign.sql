-- bundle 5
-- What the ledger, the audience, the reviews and the agents' reports say about a job. It reads all
-- e-mails and contacts of the job: an open campaign costs a refresh what it is large.
create or replace function jobsdb.measure_campaign(
  metrics jobsdb.frozen_job_metrics
)
returns jobsdb.frozen_job_metrics
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
set jit to off
as $$
declare
  v_row jobsdb.frozen_job_metrics := measure_campaign.metrics;
  v_sends record;
  v_contacts record;
  v_reviews record;
  v_usage record;
begin
  with happened as (
    -- An event that came twice, or of an e-mail opened twice, is one e-mail.
    select e.send_id, array_agg(distinct e.event) as events
    from jobsdb.sends as s
    inner join jobsdb.send_events as e on e.send_id = s.id and e.org_id = s.org_id
    where s.job_id = v_row.job_id and s.org_id = v_row.org_id and s.state = 'sent'
    group by e.send_id
  ),
  facts as (
    select
      case when s.touch ~ '^[0-9]{1,9}$' then s.touch else 'other' end as touch,
      case when s.state in ('leased', 'dispatching') then 'queued' else s.state end as fact,
      count(*) as n
    from jobsdb.sends as s
    where s.job_id = v_row.job_id and s.org_id = v_row.org_id
    group by 1, 2
    union all
    select
      case when s.touch ~ '^[0-9]{1,9}$' then s.touch else 'other' end,
      f.fact,
      count(*)
    from jobsdb.sends as s
    inner join happened as h on h.send_id = s.id
    cross join unnest(h.events) as f (fact)
    where s.job_id = v_row.job_id and s.org_id = v_row.org_id
    group by 1, 2
  ),
  named as (
    select f.touch, coalesce(t.template, 'other') as template, f.fact, f.n
    from facts as f
    left join (
      select q.touch::text as touch, q.template
      from public.jobs as j
      cross join lateral jobsdb.touches(j.params) as q
      where j.id = v_row.job_id and j.org_id = v_row.org_id
    ) as t on t.touch = f.touch
  )
  select
    (select jsonb_object_agg(g.fact, g.n) from (
      select f.fact, sum(f.n) as n from facts as f group by f.fact
    ) as g) as total,
    (select jsonb_object_agg(g.touch, g.facts) from (
      select f.touch, jsonb_object_agg(f.fact, f.n) as facts from facts as f group by f.touch
    ) as g) as by_touch,
    (select jsonb_object_agg(g.template, g.facts) from (
      select b.template, jsonb_object_agg(b.fact, b.n) as facts
      from (
        select n.template, n.fact, sum(n.n) as n from named as n group by n.template, n.fact
      ) as b
      group by b.template
    ) as g) as by_template,
    d.first_at,
    d.last_at
  into v_sends
  from (
    select min(s.dispatched_at) as first_at, max(s.dispatched_at) as last_at
    from jobsdb.sends as s
    where s.job_id = v_row.job_id and s.org_id = v_row.org_id and s.state = 'sent'
  ) as d;

  -- An e-mail card may be done without an address to send to.
  v_row.emails_sent := greatest(v_row.emails_sent, (v_sends.total ->> 'sent')::int);
  v_row.emails_queued := coalesce((v_sends.total ->> 'queued')::int, 0);
  v_row.emails_failed := coalesce((v_sends.total ->> 'failed')::int, 0);
  v_row.emails_unknown := coalesce((v_sends.total ->> 'unknown')::int, 0);
  v_row.emails_suppressed := coalesce((v_sends.total ->> 'suppressed')::int, 0);
  v_row.emails_cancelled := coalesce((v_sends.total ->> 'cancelled')::int, 0);
  v_row.emails_delivered := coalesce((v_sends.total ->> 'delivered')::int, 0);
  v_row.emails_bounced_hard := coalesce((v_sends.total ->> 'bounce_hard')::int, 0);
  v_row.emails_bounced_soft := coalesce((v_sends.total ->> 'bounce_soft')::int, 0);
  v_row.emails_complained := coalesce((v_sends.total ->> 'complaint')::int, 0);
  v_row.emails_replied := coalesce((v_sends.total ->> 'reply')::int, 0);
  v_row.emails_unsubscribed := coalesce((v_sends.total ->> 'unsubscribe')::int, 0);
  v_row.emails_opened_human := coalesce((v_sends.total ->> 'open_human')::int, 0);
  v_row.emails_opened_machine := coalesce((v_sends.total ->> 'open_machine')::int, 0);
  v_row.emails_clicked := coalesce((v_sends.total ->> 'click')::int, 0);
  v_row.delivery_rate := jobsdb.rate(v_row.emails_delivered, v_row.emails_sent);
  v_row.bounce_rate := jobsdb.rate(v_row.emails_bounced_hard, v_row.emails_sent);
  v_row.complaint_rate := jobsdb.rate(v_row.emails_complained, v_row.emails_sent);
  v_row.reply_rate := jobsdb.rate(v_row.emails_replied, v_row.emails_sent);
  v_row.unsubscribe_rate := jobsdb.rate(v_row.emails_unsubscribed, v_row.emails_sent);
  v_row.open_rate := jobsdb.rate(v_row.emails_opened_human, v_row.emails_sent);
  v_row.click_rate := jobsdb.rate(v_row.emails_clicked, v_row.emails_sent);
  v_row.by_touch := coalesce(v_sends.by_touch, '{}');
  v_row.by_template := coalesce(v_sends.by_template, '{}');
  v_row.first_send_at := v_sends.first_at;
  v_row.last_send_at := v_sends.last_at;

  select
    count(*) as enrolled,
    count(*) filter (where c.state = 'excluded') as excluded,
    count(*) filter (where c.state = 'active') as active,
    count(*) filter (where c.state = 'finished') as finished,
    count(*) filter (where c.state = 'stopped') as stopped,
    count(*) filter (where c.state = 'stopped' and c.reason = 'reply') as replied
  into v_contacts
  from jobsdb.job_contacts as c
  where c.job_id = v_row.job_id and c.org_id = v_row.org_id;
  v_row.contacts_enrolled := v_contacts.enrolled;
  v_row.contacts_excluded := v_contacts.excluded;
  v_row.contacts_active := v_contacts.active;
  v_row.contacts_finished := v_contacts.finished;
  v_row.contacts_stopped := v_contacts.stopped;
  v_row.contacts_replied := v_contacts.replied;
  v_row.next_due_at := (
    select min(d.due_at)
    from jobsdb.due_contacts as d
    where d.job_id = v_row.job_id and d.org_id = v_row.org_id
  );

  select
    count(*) filter (where r.comment = 'expired' and r.reviewer is null) as expired,
    count(*) filter (where r.decision = 'approved') as approvals,
    count(*) filter (where r.edited) as edits,
    percentile_cont(array[0.5, 0.95]) within group (
      order by jobsdb.seconds_between(r.waiting_since, r.decided_at)
    ) as seconds
  into v_reviews
  from jobsdb.card_reviews as r
  where r.job_id = v_row.job_id and r.org_id = v_row.org_id;
  v_row.cards_expired := v_reviews.expired;
  v_row.edit_rate := jobsdb.rate(v_reviews.edits, v_reviews.approvals);
  v_row.review_seconds_p50 := v_reviews.seconds[1];
  v_row.review_seconds_p95 := v_reviews.seconds[2];
  v_row.oldest_in_review := (
    select min(w.since)
    from jobsdb.waiting_cards as w
    where w.job_id = v_row.job_id and w.org_id = v_row.org_id
  );

  select
    coalesce(u.tokens_in, 0) as tokens_in,
    coalesce(u.tokens_out, 0) as tokens_out,
    coalesce(u.cost, 0) as cost,
    case
      when j.params #>> '{budget,max_cost}' is not null
        then greatest((j.params #>> '{budget,max_cost}')::numeric - coalesce(u.cost, 0), 0)
    end as budget_left
  into v_usage
  from public.jobs as j
  left join jobsdb.job_usage as u on u.job_id = j.id and u.org_id = j.org_id
  where j.id = v_row.job_id and j.org_id = v_row.org_id;
  v_row.tokens_in := v_usage.tokens_in;
  v_row.tokens_out := v_usage.tokens_out;
  v_row.cost := v_usage.cost;
  v_row.budget_left := v_usage.budget_left;
  return v_row;
end;
$$;
revoke all on function jobsdb.measure_campaign(jobsdb.frozen_job_metrics)
from public, anon, authenticated, service_role;

comment on function jobsdb.measure_campaign(jobsdb.frozen_job_metrics) is
'Adds what is known of a job''s e-mails, contacts, reviews and costs to its metrics, as of the present snapshot.
Returns: the row, complete.
Errors:  none.
Source:  sql/functions/metrics/measure_campaign.sql';
