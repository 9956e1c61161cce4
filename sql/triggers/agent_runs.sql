-- bundle 2
-- What happens to a run. Runs without a job are the host's alone.
create or replace trigger jobsdb_t30_guard
before insert or update on public.agent_runs
for each row
when (new.job_id is not null)
execute function jobsdb.guard_run();

comment on trigger jobsdb_t30_guard on public.agent_runs is
'A run can be linked only to a job of its own organisation and of the caller''s.';
