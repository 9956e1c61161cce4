-- bundle 1
-- What happens to a job, in firing order. Changes of its counters fire none of these.
create or replace trigger t10_guard_ins
before insert on public.jobs
for each row
execute function jobsdb.guard_job_insert();

comment on trigger t10_guard_ins on public.jobs is
'A new job is pending and has a usable name and params.';

create or replace trigger t10_guard_upd
before update of id, org_id, name, description, params, status on public.jobs
for each row
execute function jobsdb.guard_job_update();

comment on trigger t10_guard_upd on public.jobs is
'Proves a move, closes the books with it, stamps the times.';

create or replace trigger t70_follow_upd
after update of status, paused_at, name, params on public.jobs
for each row
when (
  old.status <> new.status
  or old.paused_at is distinct from new.paused_at
  or old.name <> new.name
  or old.params <> new.params
)
execute function jobsdb.follow_job_move();

comment on trigger t70_follow_upd on public.jobs is
'Makes its tasks claimable or not, writes history, begins to skip what a closed job leaves open.';
