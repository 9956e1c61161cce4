-- bundle 2
-- The host's table may have no org_id; then the link alone decides, and the job must be the
-- caller's. BEFORE, so that a bad link is refused here and not by its foreign key, which cannot say
-- why.
create or replace function jobsdb.guard_run()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_new jsonb := to_jsonb(new);
  v_old jsonb;
  v_job_org_id uuid;
begin
  if tg_relid <> 'public.agent_runs'::regclass then
    perform jobsdb.refuse_trigger('public.agent_runs');
  end if;

  if tg_op = 'UPDATE' then
    v_old := to_jsonb(old);
    if new.job_id is not distinct from old.job_id
      and v_new -> 'org_id' is not distinct from v_old -> 'org_id' then
      return new;
    end if;
    if old.job_id is not null and auth.uid() is not null and not exists (
      select from public.jobs as j where j.id = old.job_id and jobsdb.may_see(j.org_id)
    ) then
      perform jobsdb.refuse_job(old.job_id);
    end if;
    if new.job_id is null then
      return new;
    end if;
  end if;

  select j.org_id
  into v_job_org_id
  from public.jobs as j
  where j.id = new.job_id;
  if v_job_org_id is null
    or not jobsdb.may_see(v_job_org_id)
    or (v_new ? 'org_id' and v_new ->> 'org_id' is distinct from v_job_org_id::text) then
    perform jobsdb.refuse_job(new.job_id);
  end if;
  return new;
end;
$$;
revoke all on function jobsdb.guard_run() from public, anon, authenticated, service_role;

comment on function jobsdb.guard_run() is
'Trigger: a run can be linked only to a job of its own organisation and of the caller''s.
Returns: the row.
Errors:  JB020 job not found or not yours.
Source:  sql/functions/card/guard_run.sql';
