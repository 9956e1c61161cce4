-- Ana approves both calls.
-- as: tenant
update kanban_cards
set state = 'approved'
where job_id = current_setting('demo.job')::uuid and state = 'in_review';
