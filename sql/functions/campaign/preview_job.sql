-- bundle 4
create or replace function jobsdb.preview_job(
  job_id uuid,
  n int
)
returns table (
  contact_key text, touch int, day int, template text, recipient text, subject text, body text,
  missing text[]
)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_job public.jobs := jobsdb.see_job(preview_job.job_id);
begin
  return query
  select
    a.contact_key,
    t.touch,
    t.day,
    t.template,
    a.email,
    r.subject,
    r.body,
    r.missing
  from (
    select d.contact_key, d.email, d.attributes
    from jobsdb.who_is_in(v_job) as d
    where d.reason is null
    order by d.contact_key collate "C"
    limit greatest(0, least(preview_job.n, 1000))
  ) as a
  cross join jobsdb.touches(v_job.params) as t
  cross join lateral jobsdb.render_template(
    v_job.params -> 'templates' -> t.template,
    jobsdb.variables_of(v_job.params, a.attributes, a.contact_key, a.email),
    v_job.params ->> 'escape'
  ) as r
  where v_job.params -> 'templates' ? t.template
  order by a.contact_key collate "C", t.touch;
end;
$$;
revoke all on function jobsdb.preview_job(uuid, int)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.preview_job(uuid, int) to authenticated, service_role;

comment on function jobsdb.preview_job(uuid, int) is
'Body of public.preview_job.
Source:  sql/functions/campaign/preview_job.sql';

create or replace function public.preview_job(
  job_id uuid,
  n int default 3
)
returns table (
  contact_key text, touch int, day int, template text, recipient text, subject text, body text,
  missing text[]
)
language sql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select
    p.contact_key,
    p.touch,
    p.day,
    p.template,
    p.recipient,
    p.subject,
    p.body,
    p.missing
  from jobsdb.preview_job(preview_job.job_id, preview_job.n) as p;
end;
revoke all on function public.preview_job(uuid, int)
from public, anon, authenticated, service_role;
grant execute on function public.preview_job(uuid, int) to authenticated, service_role;

comment on function public.preview_job(uuid, int) is
'Writes the e-mails of the first contacts of a job as they would be drafted, without doing anything.
Units:   n contacts, at most 1,000, by key.
Returns: a row for each contact and touch that has a template: to whom, subject, body, and variables that are missing.
Errors:  JB020 not found or not yours.
Source:  sql/functions/campaign/preview_job.sql';
