-- bundle 5
-- What moves of cards and jobs mean for e-mails. Cards: after jobsdb_t30_guard has proved the move.
create or replace trigger jobsdb_t40_send_ins
after insert on public.kanban_cards
for each row
when (new.job_id is not null)
execute function jobsdb.follow_card();

comment on trigger jobsdb_t40_send_ins on public.kanban_cards is
'Queues the e-mail of a card that is approved from the start.';

create or replace trigger jobsdb_t40_send_upd
after update on public.kanban_cards
for each row
when (old.job_id is not null or new.job_id is not null)
execute function jobsdb.follow_card();

comment on trigger jobsdb_t40_send_upd on public.kanban_cards is
'Queues the e-mail of an approved card, takes it back with the approval, stops the sequence after a rejection.';

create or replace trigger jobsdb_t45_send_del
after delete on public.kanban_cards
referencing old table as old_rows
for each statement
execute function jobsdb.cancel_deleted();

comment on trigger jobsdb_t45_send_del on public.kanban_cards is
'What is queued of deleted cards is cancelled.';

create or replace trigger t75_sends_upd
after update of status on public.jobs
for each row
when (old.status <> new.status and new.status in ('failed', 'cancelled'))
execute function jobsdb.follow_job_end();

comment on trigger t75_sends_upd on public.jobs is
'Cancels what is queued of a job that failed or was cancelled.';
