-- bundle 2
-- What happens to a card, in firing order. Cards without a job are the host's alone: none of the
-- row triggers fires for them. Our triggers begin with jobsdb_, so the host sees whose they are.
create or replace trigger jobsdb_t20_complete_ins
before insert on public.kanban_cards
for each row
when (new.job_id is not null or new.task_id is not null)
execute function jobsdb.complete_card();

comment on trigger jobsdb_t20_complete_ins on public.kanban_cards is
'Fills the job of a card from its task.';

create or replace trigger jobsdb_t20_complete_upd
before update on public.kanban_cards
for each row
when (old.job_id is not null or new.job_id is not null or new.task_id is not null)
execute function jobsdb.complete_card();

comment on trigger jobsdb_t20_complete_upd on public.kanban_cards is
'Fills the job from the task, clears the task with the job, sends an edited approved card back to review.';

-- A host keeps the times of its own table itself.
do $$
begin
  if exists (
    select from jobsdb.host_tables as h where h.table_name = 'kanban_cards' and h.made_by_jobsdb
  ) then
    create or replace trigger jobsdb_t25_stamp_upd
    before update on public.kanban_cards
    for each row
    execute function jobsdb.stamp_card();

    comment on trigger jobsdb_t25_stamp_upd on public.kanban_cards is
    'Stamps the last change; only where jobsdb made the table.';
  end if;
end;
$$;

create or replace trigger jobsdb_t30_guard
after insert or update on public.kanban_cards
for each row
when (new.job_id is not null)
execute function jobsdb.guard_card();

comment on trigger jobsdb_t30_guard on public.kanban_cards is
'Proves the link and the move of a card, and writes every decision down.';

create or replace trigger jobsdb_t50_metrics_ins
after insert on public.kanban_cards
referencing new table as new_rows
for each statement
execute function jobsdb.update_job_metrics_on_card_change();

comment on trigger jobsdb_t50_metrics_ins on public.kanban_cards is
'Counts new linked cards.';

create or replace trigger jobsdb_t50_metrics_upd
after update on public.kanban_cards
referencing old table as old_rows new table as new_rows
for each statement
execute function jobsdb.update_job_metrics_on_card_change();

comment on trigger jobsdb_t50_metrics_upd on public.kanban_cards is
'Counts moves of cards between states and jobs.';

create or replace trigger jobsdb_t50_metrics_del
after delete on public.kanban_cards
referencing old table as old_rows
for each statement
execute function jobsdb.update_job_metrics_on_card_change();

comment on trigger jobsdb_t50_metrics_del on public.kanban_cards is
'Counts deleted cards.';

create or replace trigger jobsdb_t50_metrics_truncate
after truncate on public.kanban_cards
for each statement
execute function jobsdb.update_job_metrics_on_card_change();

comment on trigger jobsdb_t50_metrics_truncate on public.kanban_cards is
'No cards, no counts.';
