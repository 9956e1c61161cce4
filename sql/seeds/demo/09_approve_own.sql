-- The agent tries to approve a card itself.
-- as: service
-- refused: JB003
update kanban_cards
set state = 'approved'
where job_id = current_setting('demo.job')::uuid and title = 'Email: Ada Moss - Intro';
