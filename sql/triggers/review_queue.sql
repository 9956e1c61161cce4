-- bundle 4
-- Which cards wait for a person, kept beside the host's table.
create or replace trigger jobsdb_t55_queue_ins
after insert on public.kanban_cards
referencing new table as new_rows
for each statement
execute function jobsdb.keep_review_queue();

comment on trigger jobsdb_t55_queue_ins on public.kanban_cards is
'Adds new linked cards to the review queue.';

create or replace trigger jobsdb_t55_queue_upd
after update on public.kanban_cards
referencing old table as old_rows new table as new_rows
for each statement
execute function jobsdb.keep_review_queue();

comment on trigger jobsdb_t55_queue_upd on public.kanban_cards is
'Cards enter and leave the review queue with their state and their link.';

create or replace trigger jobsdb_t55_queue_del
after delete on public.kanban_cards
referencing old table as old_rows
for each statement
execute function jobsdb.keep_review_queue();

comment on trigger jobsdb_t55_queue_del on public.kanban_cards is
'Deleted cards leave the review queue.';

create or replace trigger jobsdb_t55_queue_truncate
after truncate on public.kanban_cards
for each statement
execute function jobsdb.keep_review_queue();

comment on trigger jobsdb_t55_queue_truncate on public.kanban_cards is
'No cards, no queue.';
