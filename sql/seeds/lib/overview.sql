-- Every job that says it is a sample, oldest first.
select
  j.id::text,
  j.org_id::text,
  j.params ->> 'seed' as seed,
  j.params ->> 'part' as part,
  case when j.paused_at is null then j.status::text else 'paused' end as status,
  j.tasks_total,
  j.tasks_done,
  j.tasks_error,
  j.cards_done,
  j.cards_in_review,
  c.contacts,
  s.sent,
  s.replies,
  case
    when j.status <> 'running' or d.due_at is null then null
    when d.due_at <= now() then 'now'
    when d.due_at < now() + interval '2 days'
      then format('in %s h', ceil(extract(epoch from d.due_at - now()) / 3600))
    else format('in %s days', ceil(extract(epoch from d.due_at - now()) / 86400))
  end as next_due
from public.jobs as j
cross join
  lateral (
    select count(*) as contacts
    from jobsdb.job_contacts as q
    where q.job_id = j.id and q.org_id = j.org_id and q.state <> 'excluded'
  ) as c
cross join
  lateral (
    select
      count(*) as sent,
      count(*) filter (
        where exists (
          select from jobsdb.send_events as e
          where e.send_id = q.id and e.org_id = q.org_id and e.event = 'reply'
        )
      ) as replies
    from jobsdb.sends as q
    where q.job_id = j.id and q.org_id = j.org_id and q.state = 'sent'
  ) as s
cross join
  lateral (
    select min(q.due_at) as due_at
    from jobsdb.due_contacts as q
    where q.job_id = j.id and q.org_id = j.org_id
  ) as d
where j.params ? 'seed'
order by
  j.created_at,
  j.id;
