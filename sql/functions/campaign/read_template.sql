-- bundle 1
-- A backslash and an n are a line end where there is no other: SQL examples write '\n' in ordinary
-- strings, which keep them as two characters.
create or replace function jobsdb.read_template(
  template jsonb,
  out subject text,
  out body text
)
returns record
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_text text;
  v_parts text[];
begin
  if jsonb_typeof(read_template.template) = 'object' then
    read_template.subject := read_template.template ->> 'subject';
    read_template.body := read_template.template ->> 'body';
    return;
  end if;

  v_text := read_template.template #>> '{}';
  if strpos(v_text, e'\n') = 0 then
    v_text := replace(v_text, '\n', e'\n');
  end if;
  v_parts := regexp_match(
    v_text, '^\s*subject:[ \t]*([^\r\n]*)(?:\r?\n|$)\s*(?:body:[ \t]*)?(.*)$', 'i'
  );
  read_template.subject := v_parts[1];
  read_template.body := case
    when v_parts is null then regexp_replace(v_text, '^\s*body:[ \t]*', '', 'i')
    else v_parts[2]
  end;
end;
$$;
revoke all on function jobsdb.read_template(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.read_template(jsonb) is
'Takes a template apart: an object {"subject": …, "body": …}, or a text "Subject: …\nBody: …", where a text without such words is all body.
Returns: subject and body, null where there is none.
Errors:  none.
Source:  sql/functions/campaign/read_template.sql';
