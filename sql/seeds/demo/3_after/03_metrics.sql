-- Ana reads them.
-- as: tenant
-- shows: rows
select
  v.metric,
  v.value
from job_metrics as m
cross join
  lateral (
    values
    ('task completion rate', m.task_completion_rate::text),
    ('e-mails drafted', m.emails_drafted::text),
    ('e-mails sent', m.emails_sent::text),
    ('approval rate', m.approval_rate::text),
    ('cards', m.cards_by_type::text)
  ) as v (metric, value)
where m.job_id = current_setting('demo.job')::uuid;
