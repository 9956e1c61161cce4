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
    ('status', m.status),
    ('tasks completed', m.tasks_completed || ' of ' || m.tasks_total),
    ('task completion rate', m.task_completion_rate::text),
    ('retries', m.retry_total::text),
    ('e-mails drafted', m.emails_drafted::text),
    ('e-mails sent', m.emails_sent::text),
    ('approval rate', m.approval_rate::text),
    ('e-mail cards', m.cards_by_type ->> 'send_email'),
    ('call cards', m.cards_by_type ->> 'schedule_call')
  ) as v (metric, value)
where m.job_id = current_setting('demo.job')::uuid;
