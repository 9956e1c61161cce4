-- As the user of organisation A:
set role authenticated;
set "request.jwt.claims" = '{"sub": "{A}"}';

-- 1. What waits for a person?
select
  id,
  title,
  content ->> 'subject' as subject
from get_job_cards('{amc-q4-followup}')
where state = 'in_review'
order by title;

-- 2. Approve one of them.
update kanban_cards
set state = 'approved'
where
  id = (
    select c.id
    from get_job_cards('{amc-q4-followup}') as c
    where c.state = 'in_review'
    order by c.title
    limit 1
  )
returning title, state;

-- 3. How are the campaigns doing?
select
  name,
  status,
  task_completion_rate,
  approval_rate,
  emails_sent
from job_metrics;

-- 4. Start the one that has not begun.
select
  status,
  started_at
from transition_job_status('{test-job}', 'running');

-- As the user of organisation B:
set role authenticated;
set "request.jwt.claims" = '{"sub": "{B}"}';

-- 5. Why did this one fail?
select
  step,
  kind,
  retry_count,
  error_message
from job_tasks
where job_id = '{portal-access-audit}' and status = 'error';
