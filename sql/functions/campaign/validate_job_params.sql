-- bundle 4
create or replace function public.validate_job_params(
  params jsonb
)
returns table (path text, severity text, sentence text, hint text)
language sql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select
    p.path,
    p.severity,
    p.sentence,
    p.hint
  from jobsdb.params_problems(validate_job_params.params) as p;
end;
revoke all on function public.validate_job_params(jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.validate_job_params(jsonb) to authenticated, service_role;

comment on function public.validate_job_params(jsonb) is
'Lists everything that is wrong with the params of a job, all at once.
Returns: a row a problem: path (cadence.day4), severity error (the job is refused) or warning, a sentence and a hint; none when all is well.
Errors:  JB012 too large or too deep.
Source:  sql/functions/campaign/validate_job_params.sql';
