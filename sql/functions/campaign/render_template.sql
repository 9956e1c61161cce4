-- bundle 4
create or replace function jobsdb.render_template(
  template jsonb,
  variables jsonb,
  escape text,
  out subject text,
  out body text,
  out missing text[]
)
returns record
language plpgsql
immutable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_template record := jobsdb.read_template(render_template.template);
  v_subject record := jobsdb.render_text(v_template.subject, render_template.variables, false);
  v_body record := jobsdb.render_text(
    v_template.body,
    render_template.variables,
    coalesce(render_template.escape, 'html') <> 'none'
  );
begin
  -- A line end in a subject would begin another header.
  render_template.subject := btrim(
    regexp_replace(v_subject.rendered, '[\u0001-\u001f\u007f-\u009f\u2028\u2029]', '', 'g')
  );
  render_template.body := v_body.rendered;
  render_template.missing := array(
    select distinct m.name
    from unnest(
      v_subject.missing || v_body.missing
      || case when render_template.subject = '' then '{subject}'::text[] else '{}' end
    ) as m (name)
    order by m.name
  );
end;
$$;
revoke all on function jobsdb.render_template(jsonb, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.render_template(jsonb, jsonb, text) to authenticated, service_role;

comment on function jobsdb.render_template(jsonb, jsonb, text) is
'Body of public.render_template.
Source:  sql/functions/campaign/render_template.sql';

create or replace function public.render_template(
  template jsonb,
  variables jsonb default '{}',
  escape text default 'html',
  out subject text,
  out body text,
  out missing text[]
)
returns record
language sql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select
    r.subject,
    r.body,
    r.missing
  from jobsdb.render_template(
    render_template.template, render_template.variables, render_template.escape
  ) as r;
end;
revoke all on function public.render_template(jsonb, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function public.render_template(jsonb, jsonb, text)
to authenticated, service_role;

comment on function public.render_template(jsonb, jsonb, text) is
'Writes an e-mail from a template: {{name}} or {{name|default}}. Variables are escaped in the body, control characters are taken out of the subject, and nothing a variable contains is read as a template.
Units:   template is an object {"subject": …, "body": …} or a text "Subject: …\nBody: …"; variables is an object; escape html or none.
Returns: one row: subject, body, and what is missing: variables without a value, and subject when there is none. A missing variable stays written as {{name}}.
Errors:  none.
Source:  sql/functions/campaign/render_template.sql';
