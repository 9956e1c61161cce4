-- As the user of organisation A:
set role authenticated;
set "request.jwt.claims" = '{"sub": "{A}"}';

-- 1. What waits for a person?
select
  card_id,
  title,
  content ->> 'subject' as subject
from review_queue
where job_id = '{amc-q4-followup}';

-- 2. Why is it not done?
select
  sentence,
  oldest_at,
  next_at
from job_blockers('{amc-q4-followup}');

-- 3. What will be sent next?
select
  content ->> 'to' as recipient,
  content ->> 'subject' as subject
from get_job_cards('{amc-q4-followup}')
where state = 'approved'
order by recipient;

-- 4. What has come of every touch?
select
  t.touch,
  t.facts ->> 'sent' as sent,
  t.facts ->> 'delivered' as delivered,
  t.facts ->> 'open_human' as opened,
  t.facts ->> 'click' as clicked,
  t.facts ->> 'reply' as replied
from job_metrics as m
cross join lateral jsonb_each(m.by_touch) as t (touch, facts)
where m.job_id = '{renewal-reminders}'
order by t.touch;

-- Start the one that has not begun.
select
  status,
  started_at
from transition_job_status('{test-job}', 'running');

-- As the user of organisation B:
set role authenticated;
set "request.jwt.claims" = '{"sub": "{B}"}';

-- 5. Who was left out, and why?
select
  contact_key,
  email,
  reason
from dry_run_job('{messy-import}')
where not is_in;
