-- bundle 5
-- What moves of cards and jobs mean for e-mails, and what is kept of these. Cards: after
-- jobsdb_t30_guard has proved the move.
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

-- What becomes of an e-mail, not who has it in hand; and that a person lets it go out again. Of one
-- sent by hand the history of its card tells.
create or replace trigger t70_history_ins
after insert on jobsdb.sends
for each row
when (new.state <> 'queued')
execute function jobsdb.keep_send_history();

comment on trigger t70_history_ins on jobsdb.sends is
'Writes down that an e-mail was kept back from the start.';

create or replace trigger t70_history_upd
after update on jobsdb.sends
for each row
when (
  old.state <> new.state
  and new.provider is distinct from 'by hand'
  and (new.state not in ('queued', 'leased', 'dispatching') or old.state = 'unknown')
)
execute function jobsdb.keep_send_history();

comment on trigger t70_history_upd on jobsdb.sends is
'Writes down what has become of an e-mail.';
