-- The drafter tries to approve its cards itself.
-- as: service
-- refused: JB003
update kanban_cards
set state = 'approved'
where job_id = current_setting('demo.job')::uuid and state = 'in_review';
