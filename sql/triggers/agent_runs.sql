-- bundle 2
-- What happens to a run. Runs without a job are the host's alone.
create or replace trigger jobsdb_t30_guard_ins
before insert on public.agent_runs
for each row
when (new.job_id is not null)
execute function jobsdb.guard_run();

comment on trigger jobsdb_t30_guard_ins on public.agent_runs is
'A run can be linked only to a job of its own organisation and of the caller''s.';

create or replace trigger jobsdb_t30_guard_upd
before update on public.agent_runs
for each row
when (old.job_id is not null or new.job_id is not null)
execute function jobsdb.guard_run();

comment on trigger jobsdb_t30_guard_upd on public.agent_runs is
'A link of a run changes only within the caller''s organisations.';
