-- bundle 1
create or replace function jobsdb.check_job(
  name text,
  params jsonb
)
returns void
language plpgsql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_name text := check_job.name;
  v_params jsonb := check_job.params;
  v_problems text;
begin
  if length(v_name) > 200 then
    raise exception using
      errcode = 'JB012',
      message = 'the name of a job is too long',
      detail = format('It has %s characters; at most 200 are stored.', length(v_name)),
      hint = 'Put the long text into description.';
  end if;

  select string_agg(p.problem, '; ')
  into v_problems
  from (
    select 'name is blank' as problem where v_name !~ '[^[:space:]]'
    union all
    select e.sentence from jobsdb.params_problems(v_params) as e where e.severity = 'error'
  ) as p;

  if v_problems is not null then
    raise exception using
      errcode = 'JB010',
      message = 'the job''s name or params cannot be used',
      detail = v_problems || '.',
      hint = 'Correct every point the detail names; unknown keys are allowed.';
  end if;
end;
$$;
revoke all on function jobsdb.check_job(text, jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.check_job(text, jsonb) is
'Refuses a name or params that could never run; the detail lists every problem at once.
Returns: nothing.
Errors:  JB010 bad name or params; JB012 too large or too deep.
Source:  sql/functions/job/check_job.sql';
