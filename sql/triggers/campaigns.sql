-- bundle 4
create or replace trigger t15_budget_upd
before update of paused_at on public.jobs
for each row
when (old.paused_at is not null and new.paused_at is null and new.params ? 'budget')
execute function jobsdb.check_budget();

comment on trigger t15_budget_upd on public.jobs is
'A job whose budget is spent is not resumed before the budget is raised.';

create or replace trigger t60_audience_del
after delete on public.jobs
referencing old table as old_rows
for each statement
execute function jobsdb.forget_audience();

comment on trigger t60_audience_del on public.jobs is
'The audience goes with its job.';
