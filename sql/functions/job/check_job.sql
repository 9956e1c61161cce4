-- bundle 1
-- Unknown keys are kept: the host may store its own. What is refused here could never run.
create or replace function jobsdb.check_job(
  name text,
  params jsonb
)
returns void
language plpgsql
immutable
parallel safe
security invoker
set search_path to ''
as $$
declare
  v_problems text;
begin
  if length(check_job.name) > 200 then
    raise exception using
      errcode = 'JB012',
      message = 'the name of a job is too long',
      detail = format('It has %s characters; at most 200 are stored.', length(check_job.name)),
      hint = 'Put the long text into description.';
  end if;
  perform jobsdb.check_document('params', check_job.params);

  select string_agg(p.problem, '; ' order by p.place)
  into v_problems
  from (
    values
    (1, 'name is blank', check_job.name !~ '\S'),
    (2, 'params is not an object', jsonb_typeof(check_job.params) <> 'object'),
    (3, 'review_mode is not true or false', jsonb_typeof(check_job.params -> 'review_mode') <> 'boolean'),
    (4, 'batch_size is not a whole number of at least 1', case jsonb_typeof(check_job.params -> 'batch_size')
      when 'number' then (check_job.params ->> 'batch_size')::numeric < 1
        or (check_job.params ->> 'batch_size')::numeric % 1 <> 0
      else true
    end and check_job.params ? 'batch_size'),
    (5, 'cadence is not an object', jsonb_typeof(check_job.params -> 'cadence') <> 'object'),
    (6, 'templates is not an object', jsonb_typeof(check_job.params -> 'templates') <> 'object'),
    (7, 'target_filter is not an object', jsonb_typeof(check_job.params -> 'target_filter') <> 'object'),
    (8, 'target_group is neither text nor an array', jsonb_typeof(check_job.params -> 'target_group') not in ('string', 'array'))
  ) as p (place, problem, is_so)
  where p.is_so;

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
