-- bundle 2
-- The host's table may have no org_id.
create or replace function jobsdb.run_to_link(
  run_id uuid
)
returns table (
  job_id uuid,
  org_id uuid
)
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  return query
  select a.job_id, (to_jsonb(a.*) ->> 'org_id')::uuid
  from public.agent_runs as a
  where a.id = run_to_link.run_id;
  if not found then
    raise exception using
      errcode = 'JB020',
      message = format('run "%s" was not found', run_to_link.run_id),
      detail = 'No row of agent_runs has this id.',
      hint = 'Insert the run first, or claim without one.';
  end if;
end;
$$;
revoke all on function jobsdb.run_to_link(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.run_to_link(uuid) is
'Says to which job and organisation an agent run belongs.
Returns: one row; job_id null as long as the run is not linked, org_id null where runs have none.
Errors:  JB020 unknown run.
Source:  sql/functions/work/run_to_link.sql';
