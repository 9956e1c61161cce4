-- bundle 1
-- What happens to a task, in firing order.
create or replace trigger t10_guard_ins
before insert on public.job_tasks
for each row
execute function jobsdb.guard_task_insert();

comment on trigger t10_guard_ins on public.job_tasks is
'A new task belongs to a job its planner may see, is pending, of a known kind, and knows what it waits for.';

-- One operator, because the condition is parsed anew for every statement: a longer one costs more
-- than the guard itself. Functions that have proved a move change rev. No BEFORE trigger may sort
-- after it: the move is counted here, while the row is held.
create or replace trigger t10_guard_upd
before update on public.job_tasks
for each row
when (old.rev = new.rev)
execute function jobsdb.guard_task_update();

comment on trigger t10_guard_upd on public.job_tasks is
'Proves a change in plain SQL, stamps the times, takes the lease away and counts the move.';

create or replace trigger t50_metrics_ins
after insert on public.job_tasks
referencing new table as new_rows
for each statement
execute function jobsdb.update_job_metrics_on_task_change();

comment on trigger t50_metrics_ins on public.job_tasks is
'Counts new tasks; refuses them in a finished job.';

create or replace trigger t50_metrics_del
after delete on public.job_tasks
referencing old table as old_rows
for each statement
execute function jobsdb.update_job_metrics_on_task_change();

comment on trigger t50_metrics_del on public.job_tasks is
'Counts deleted tasks.';

create or replace trigger t50_metrics_truncate
after truncate on public.job_tasks
for each statement
execute function jobsdb.update_job_metrics_on_task_change();

comment on trigger t50_metrics_truncate on public.job_tasks is
'No tasks, no counts.';
