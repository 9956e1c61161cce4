-- bundle 4
-- One pass over the template: what a variable contains is never looked at again, so a name may be
-- {{email}} without harm. A variable that is missing stays as it is written, for the reviewer to
-- see.
create or replace function jobsdb.render_text(
  template text,
  variables jsonb,
  escapes boolean,
  out rendered text,
  out missing text[]
)
returns record
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_variable constant text := '\{\{([^{}|]*[^{}|\s][^{}|]*)(\|[^{}]*)?\}\}';
begin
  select
    string_agg(
      l.literal || case
        when v.name is null then ''
        when v.value is null then format('{{%s}}', v.name)
        when render_text.escapes
          then replace(replace(replace(replace(replace(
            v.value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
        else v.value
      end,
      '' order by l.place
    ),
    coalesce(
      array_agg(distinct v.name) filter (where v.name is not null and v.value is null), '{}'
    )
  into render_text.rendered, render_text.missing
  from unnest(regexp_split_to_array(render_text.template, v_variable)) with ordinality
    as l (literal, place)
  left join (
    select
      m.place,
      btrim(m.parts[1], e' \t\r\n') as name,
      coalesce(
        nullif(render_text.variables ->> btrim(m.parts[1], e' \t\r\n'), ''),
        substr(m.parts[2], 2)
      ) as value
    from regexp_matches(render_text.template, v_variable, 'g') with ordinality as m (parts, place)
  ) as v on v.place = l.place;
  render_text.rendered := coalesce(render_text.rendered, '');
end;
$$;
revoke all on function jobsdb.render_text(text, jsonb, boolean)
from public, anon, authenticated, service_role;

comment on function jobsdb.render_text(text, jsonb, boolean) is
'Puts variables into a text: {{name}}, or {{name|what to write without it}}.
Units:   variables is a JSON object; a variable that is null or empty counts as missing; escapes: as HTML.
Returns: the text, and the names of what is missing.
Errors:  none.
Source:  sql/functions/campaign/render_text.sql';
