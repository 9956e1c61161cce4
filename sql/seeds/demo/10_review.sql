-- Ana rejects one, approves one with a better subject, then the rest.
-- as: tenant
update kanban_cards
set state = 'rejected'
where job_id = current_setting('demo.job')::uuid and title = 'Email: Emil Roth - Intro';

update kanban_cards
set
  state = 'approved',
  content = jsonb_build_object(
    'to', content ->> 'to',
    'subject', 'Bea, one more year?',
    'body', content ->> 'body',
    'seed', 'demo'
  )
where job_id = current_setting('demo.job')::uuid and title = 'Email: Bea Lund - Intro';

update kanban_cards
set state = 'approved'
where job_id = current_setting('demo.job')::uuid and state = 'in_review';
