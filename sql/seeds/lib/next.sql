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
  s.send ->> 'touch' as touch,
  count(*) filter (where s.send ->> 'state' = 'sent') as sent,
  count(*) filter (where e.names ? 'delivered') as delivered,
  count(*) filter (where e.names ? 'open_human') as opened,
  count(*) filter (where e.names ? 'click') as clicked,
  count(*) filter (where e.names ? 'reply') as replied
from dry_run_job('{renewal-reminders}') as c
cross join
  lateral export_contact(auth.uid(), c.contact_key) as x (contact)
cross join
  lateral jsonb_array_elements(x.contact -> 'sends') as s (send)
cross join
  lateral jsonb_path_query_array(s.send, '$.events[*].event') as e (names)
where s.send ->> 'job_id' = '{renewal-reminders}'
group by touch
order by touch;

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
