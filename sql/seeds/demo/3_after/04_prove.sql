-- What the provider has in its books is held against the database.
-- as: owner
-- proves: rows
--
-- The journal is the provider's own: what it accepted and what it reported, in that order. Only
-- words are compared, never a state the ledger of sends says something is in.
with journal as materialized (
  select
    e.place,
    e.entry ->> 'what' as what,
    lower(e.entry ->> 'recipient') as recipient,
    e.entry ->> 'subject' as subject,
    e.entry ->> 'body' as body,
    e.entry ->> 'key' as idempotency_key
  from
    jsonb_array_elements(current_setting('demo.journal')::jsonb)
    with ordinality as e (entry, place)
),

-- What a person has said yes to, word for word, and when.
approved as materialized (
  select
    lower(btrim(c.content ->> 'to')) as recipient,
    c.content ->> 'subject' as subject,
    c.content ->> 'body' as body,
    t.input ->> 'touch' as touch,
    min(r.decided_at) as approved_at
  from public.kanban_cards as c
  inner join public.job_tasks as t on c.task_id = t.id
  inner join jobsdb.card_reviews as r
    on
      c.job_id = r.job_id
      and c.id::text = r.card_id
      and r.content_hash = jobsdb.card_hash(to_jsonb(c.*))
  where
    c.job_id = current_setting('demo.job')::uuid
    and r.decision = 'approved'
    and r.reviewer is not null
  group by c.content, t.input
),

-- What was accepted, which touch it is by its words, and whether the yes came before it was sent.
mails as materialized (
  select
    j.place,
    j.recipient,
    j.idempotency_key,
    coalesce(a.touch, j.subject) as touch,
    coalesce(a.approved_at <= s.dispatched_at, a.approved_at is not null) as is_approved
  from journal as j
  left join jobsdb.sends as s
    on
      j.idempotency_key = s.idempotency_key
      and s.org_id = current_setting('demo.org')::uuid
  left join lateral (
    select
      p.touch,
      p.approved_at
    from approved as p
    where
      p.recipient = j.recipient
      and p.subject = j.subject
      and p.body = j.body
    order by p.approved_at
    limit 1
  ) as a on true
  where j.what = 'accepted'
),

repeated as (
  select
    array_agg(
      format('%s has got touch %s %s times', n.recipient, n.touch, n.times)
    ) as wrong
  from (
    select
      m.recipient,
      m.touch,
      count(*) as times
    from mails as m
    group by m.recipient, m.touch
  ) as n
  where n.times > 1
),

-- Since when nobody may write to them: what the provider reported has a place in its journal, what
-- was noted otherwise was noted before the first e-mail.
people as (
  select lower(btrim(k.email)) as recipient
  from jobsdb.job_contacts as k
  where k.job_id = current_setting('demo.job')::uuid
  union
  select m.recipient from mails as m
),

suppressed as materialized (
  select
    p.recipient,
    coalesce(min(j.place), 0) as since
  from people as p
  left join journal as j
    on
      (p.recipient = j.recipient and j.what in ('bounce_hard', 'complaint', 'unsubscribe'))
      or (split_part(p.recipient, '@', 2) = j.recipient and j.what = 'closed')
  where
    exists (
      select from jobsdb.suppressions as s
      where
        s.org_id = current_setting('demo.org')::uuid
        and s.value in (p.recipient, split_part(p.recipient, '@', 2))
    )
  group by p.recipient
),

stopped as materialized (
  select
    j.recipient,
    min(j.place) as since
  from journal as j
  where j.what in ('bounce_hard', 'complaint', 'unsubscribe', 'reply')
  group by j.recipient
  union all
  -- Of whom Ana has rejected a first e-mail there is none.
  select
    k.address as recipient,
    0 as since
  from jobsdb.job_contacts as k
  where k.job_id = current_setting('demo.job')::uuid and k.reason = 'rejected'
),

ledger as materialized (
  select
    s.idempotency_key,
    s.recipient
  from jobsdb.sends as s
  where s.job_id = current_setting('demo.job')::uuid and s.state = 'sent'
),

counters as (
  select
    v.name,
    v.counted,
    v.there
  from public.jobs as j
  cross join
    lateral (
      select
        count(*) as total,
        count(*) filter (where t.status = 'done') as done,
        count(*) filter (where t.status = 'error') as error,
        count(*) filter (where t.status = 'skipped') as skipped
      from public.job_tasks as t
      where t.job_id = j.id
    ) as t
  cross join
    lateral (
      select
        count(*) as total,
        count(*) filter (where c.state::text = 'in_review') as in_review,
        count(*) filter (where c.state::text = 'approved') as approved,
        count(*) filter (where c.state::text = 'rejected') as rejected,
        count(*) filter (where c.state::text = 'done') as done
      from public.kanban_cards as c
      where c.job_id = j.id
    ) as c
  cross join
    lateral (
      values
      ('tasks_total', j.tasks_total, t.total),
      ('tasks_done', j.tasks_done, t.done),
      ('tasks_error', j.tasks_error, t.error),
      ('tasks_skipped', j.tasks_skipped, t.skipped),
      ('cards_total', j.cards_total, c.total),
      ('cards_in_review', j.cards_in_review, c.in_review),
      ('cards_approved', j.cards_approved, c.approved),
      ('cards_rejected', j.cards_rejected, c.rejected),
      ('cards_done', j.cards_done, c.done),
      (
        'cards_other',
        j.cards_other,
        c.total - c.in_review - c.approved - c.rejected - c.done
      )
    ) as v (name, counted, there)
  where j.id = current_setting('demo.job')::uuid
),

accepted as (
  select distinct
    m.idempotency_key,
    m.recipient
  from mails as m
),

claims (place, sentence, wrong) as (
  select
    1,
    format(
      'nobody was mailed twice: %s e-mails, %s different',
      count(*),
      count(distinct m.recipient || ' ' || m.touch)
    ),
    max(r.wrong)
  from mails as m
  cross join repeated as r
  union all
  select
    2,
    format(
      'nobody was mailed what no person approved: %s of %s approved word for word',
      count(*) filter (where m.is_approved),
      count(*)
    ),
    array_agg(
      format('%s has got what nobody approved', m.recipient)
    ) filter (where not m.is_approved)
  from mails as m
  union all
  select
    3,
    format(
      'nobody suppressed was mailed: %s suppressed, e-mails since then: %s',
      count(distinct s.recipient),
      count(m.place)
    ),
    array_agg(format('%s was mailed', m.recipient) order by m.place)
    filter (where m.place is not null)
  from suppressed as s
  left join mails as m on s.recipient = m.recipient and s.since < m.place
  union all
  select
    4,
    format(
      'nobody was mailed after an answer or rejection: %s stopped, e-mails: %s',
      count(distinct s.recipient),
      count(m.place)
    ),
    array_agg(format('%s was mailed', m.recipient) order by m.place)
    filter (where m.place is not null)
  from stopped as s
  left join mails as m on s.recipient = m.recipient and s.since < m.place
  union all
  select
    5,
    format(
      'the ledger says what the provider has: %s sent, %s accepted',
      count(l.idempotency_key),
      count(m.idempotency_key)
    ),
    array_agg(
      case
        when m.idempotency_key is null
          then format('that to %s has never arrived', l.recipient)
        else format('that to %s is not in the ledger', m.recipient)
      end
    ) filter (where m.idempotency_key is null or l.idempotency_key is null)
  from ledger as l
  full join accepted as m
    on l.idempotency_key = m.idempotency_key and lower(l.recipient) = m.recipient
  union all
  select
    6,
    format(
      'the counters are exact: %s of %s equal a recount of the rows',
      count(*) filter (where c.counted = c.there),
      count(*)
    ),
    array_agg(
      format('%s is %s, there are %s', c.name, c.counted, c.there)
    ) filter (where c.counted <> c.there)
  from counters as c
  union all
  select
    7,
    format('the campaign is over: %s', j.status),
    case when j.status <> 'succeeded' then array[format('it is %s', j.status)] end
  from public.jobs as j
  where j.id = current_setting('demo.job')::uuid
)

select
  c.sentence,
  c.wrong
from claims as c
order by c.place;
