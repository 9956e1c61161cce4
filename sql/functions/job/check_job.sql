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
  perform jobsdb.check_document('params', v_params);

  select string_agg(p.problem, '; ' order by p.place)
  into v_problems
  from (
    values
    (1, 'name is blank', v_name !~ '[^[:space:]]'),
    (2, 'params is not an object', jsonb_typeof(v_params) <> 'object'),
    (
      3,
      'review_mode is not true or false',
      jsonb_typeof(v_params -> 'review_mode') <> 'boolean'
    ),
    (
      4,
      'batch_size is not a whole number of at least 1',
      case jsonb_typeof(v_params -> 'batch_size')
        when 'number'
          then (v_params ->> 'batch_size')::numeric < 1
            or (v_params ->> 'batch_size')::numeric % 1 <> 0
        else v_params ? 'batch_size'
      end
    ),
    (5, 'cadence is not an object', jsonb_typeof(v_params -> 'cadence') <> 'object'),
    (6, 'templates is not an object', jsonb_typeof(v_params -> 'templates') <> 'object'),
    (7, 'target_filter is not an object', jsonb_typeof(v_params -> 'target_filter') <> 'object'),
    (
      8,
      'target_group is neither text nor an array',
      jsonb_typeof(v_params -> 'target_group') not in ('string', 'array')
    )
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
