-- Funnel
-- Contacts are people, all else is e-mails: each touch makes one. Opened: by a person, not by a
-- machine. Shares are of what was sent.
-- $1 the job.
select
  s.step,
  coalesce(s.number, 0) as number,
  s.share
from public.job_metrics_live as m
cross join
  lateral (
    select
      sum((t.states ->> 'approved')::int) as approved,
      sum((t.states ->> 'done')::int) as done
    from jsonb_each(m.cards_by_type) as t (type, states)
    where t.type in ('draft_email', 'send_email')
  ) as c
cross join
  lateral (
    values
    (1, 'contacts enrolled', m.contacts_enrolled::bigint, null),
    (2, 'contacts not excluded', m.contacts_enrolled::bigint - m.contacts_excluded, null),
    (3, 'drafted', m.emails_drafted, null),
    (4, 'approved', coalesce(c.approved, 0) + coalesce(c.done, 0), null),
    (5, 'sent', m.emails_sent, null),
    (6, 'delivered', m.emails_delivered, m.delivery_rate),
    (7, 'opened', m.emails_opened_human, m.open_rate),
    (8, 'clicked', m.emails_clicked, m.click_rate),
    (9, 'replied', m.emails_replied, m.reply_rate)
  ) as s (place, step, number, share)
where m.job_id = $1::uuid
order by s.place;
