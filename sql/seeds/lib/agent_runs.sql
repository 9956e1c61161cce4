-- One run of an agent for every batch of campaign seed.job, from its first task to its last.
do $$
declare
  v_job_id uuid := current_setting('seed.job');
begin
  -- A host's table has its own words and duties.
  if exists (
    select from jobsdb.host_tables as h
    where h.table_name = 'agent_runs' and not h.made_by_jobsdb
  ) then
    return;
  end if;

  insert into public.agent_runs (id, org_id, job_id, status, created_at, started_at, finished_at)
  select
    md5(concat_ws('/', v_job_id, 'run', t.batch))::uuid,
    t.org_id,
    v_job_id,
    case when bool_or(t.status in ('pending', 'running')) then 'running' else 'completed' end,
    min(t.started_at),
    min(t.started_at),
    case when not bool_or(t.status in ('pending', 'running')) then max(t.finished_at) end
  from public.job_tasks as t
  where t.job_id = v_job_id
  group by t.org_id, t.batch
  having min(t.started_at) is not null;
end;
$$;
