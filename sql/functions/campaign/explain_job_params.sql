-- bundle 4
create or replace function jobsdb.explain_job_params(
  params jsonb
)
returns table (
  touch int, day int, template text, is_named boolean, subject text, batch_size int,
  review_mode boolean, opens text, closes text, days text[], time_zone text, variables text[]
)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_problems text := (
    select string_agg(p.sentence, '; ')
    from jobsdb.params_problems(explain_job_params.params) as p
    where p.severity = 'error'
  );
begin
  if v_problems is not null then
    raise exception using
      errcode = 'JB010',
      message = 'the params cannot be explained',
      detail = v_problems || '.',
      hint = 'Correct every point the detail names.';
  end if;

  return query
  select
    t.touch,
    t.day,
    t.template,
    t.is_named,
    r.subject,
    coalesce((explain_job_params.params ->> 'batch_size')::numeric::int, 10),
    jobsdb.reviews_cards(explain_job_params.params),
    left(w.opens::text, 5),
    left(w.closes::text, 5),
    array(
      select (array['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])[d.day]
      from unnest(w.days) as d (day)
      order by d.day
    ),
    case
      when not jobsdb.is_time_zone(w.time_zone) then 'UTC'
      else w.time_zone
    end || case when w.is_local then ' unless the contact has its own' else '' end,
    case
      when t.template is not null then jobsdb.template_variables(
        explain_job_params.params -> 'templates' -> t.template
      )
    end
  from jobsdb.touches(explain_job_params.params) as t
  cross join jobsdb.send_window(explain_job_params.params) as w
  left join lateral jobsdb.read_template(
    explain_job_params.params -> 'templates' -> t.template
  ) as r on true
  order by t.touch;
end;
$$;
revoke all on function jobsdb.explain_job_params(jsonb)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.explain_job_params(jsonb) to authenticated, service_role;

comment on function jobsdb.explain_job_params(jsonb) is
'Body of public.explain_job_params.
Source:  sql/functions/campaign/explain_job_params.sql';

create or replace function public.explain_job_params(
  params jsonb
)
returns table (
  touch int, day int, template text, is_named boolean, subject text, batch_size int,
  review_mode boolean, opens text, closes text, days text[], time_zone text, variables text[]
)
language sql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select
    e.touch,
    e.day,
    e.template,
    e.is_named,
    e.subject,
    e.batch_size,
    e.review_mode,
    e.opens,
    e.closes,
    e.days,
    e.time_zone,
    e.variables
  from jobsdb.explain_job_params(explain_job_params.params) as e;
end;
revoke all on function public.explain_job_params(jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.explain_job_params(jsonb) to authenticated, service_role;

comment on function public.explain_job_params(jsonb) is
'Shows what the params of a campaign mean: which touch on which day with which template, chunk size, sending window.
Returns: a row a touch; template null: the agent writes it; is_named: named in cadence, else given by order; variables: those that need a value.
Errors:  JB010 with all problems at once.
Source:  sql/functions/campaign/explain_job_params.sql';
