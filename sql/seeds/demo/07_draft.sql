-- The agent writes every contact an e-mail, as a card for review.
-- as: service
insert into kanban_cards (org_id, job_id, task_id, type, title, state, content)
select
  t.org_id,
  t.job_id,
  t.id,
  'send_email' as type,
  format('Email: %s - Intro', initcap(replace(c.contact, '.', ' '))) as title,
  'in_review' as state,
  jsonb_build_object(
    'to', c.contact || '@example.com',
    'subject', replace(j.params #>> '{templates,intro,subject}', '{{first_name}}', n.first_name),
    'body', replace(
      replace(j.params #>> '{templates,intro,body}', '{{first_name}}', n.first_name),
      '{{company_name}}',
      t.input #>> '{variables,company_name}'
    ),
    'seed', 'demo'
  ) as content
from job_tasks as t
inner join jobs as j on t.job_id = j.id
cross join lateral jsonb_array_elements_text(t.input -> 'contact_ids') as c (contact)
cross join lateral initcap(split_part(c.contact, '.', 1)) as n (first_name)
where t.job_id = current_setting('demo.job')::uuid and t.status = 'running';

update job_tasks
set
  status = 'done',
  output = jsonb_build_object('cards', jsonb_array_length(input -> 'contact_ids'))
where job_id = current_setting('demo.job')::uuid and status = 'running';
