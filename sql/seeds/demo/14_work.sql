-- The agent works on it, and proposes the calls as cards.
-- as: service
update job_tasks
set status = 'running'
where job_id = current_setting('demo.job')::uuid and batch = 1;

insert into kanban_cards (org_id, job_id, task_id, type, title, state, content)
select
  t.org_id,
  t.job_id,
  t.id,
  t.kind,
  format('Call: %s', initcap(replace(t.input ->> 'contact_id', '.', ' '))) as title,
  'in_review' as state,
  t.input || jsonb_build_object('seed', 'demo') as content
from job_tasks as t
where t.job_id = current_setting('demo.job')::uuid and t.kind = 'schedule_call';

update job_tasks
set status = 'done'
where job_id = current_setting('demo.job')::uuid and status = 'running';
