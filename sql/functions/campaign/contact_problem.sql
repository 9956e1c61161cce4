-- bundle 4
create or replace function jobsdb.contact_problem(
  source jsonb default null
)
returns text
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_source jsonb := coalesce(
    contact_problem.source, (select to_jsonb(s) from jobsdb.contact_source as s)
  );
  v_relation regclass := to_regclass(v_source ->> 'relation');
begin
  if v_source is null then
    return null;
  elsif v_relation is null then
    return format('%s does not exist', v_source ->> 'relation');
  end if;

  return (
    select nullif(
      concat_ws(
        '; ',
        'it has no column '
        || string_agg(w.name, ', ' order by w.place) filter (where a.attname is null),
        string_agg(
          format('column %s is %s, not %s', w.name, format_type(a.atttypid, null), w.types[1]),
          '; ' order by w.place
        ) filter (where a.attname is not null)
      ),
      ''
    )
    from (
      values
      (1, v_source ->> 'key_column', null::text[]),
      (2, v_source ->> 'email_column', null),
      (3, v_source ->> 'org_column', array['uuid']),
      (
        4,
        v_source ->> 'groups_column',
        array['text', 'text[]', 'character varying', 'character varying[]', 'jsonb']
      ),
      (5, v_source ->> 'attributes_column', array['jsonb']),
      (6, v_source ->> 'time_zone_column', null)
    ) as w (place, name, types)
    left join pg_attribute as a
      on a.attrelid = v_relation
      and a.attname = w.name
      and a.attnum > 0
      and not a.attisdropped
    where w.name is not null
      and (a.attname is null or format_type(a.atttypid, null) <> all(w.types))
  );
end;
$$;
revoke all on function jobsdb.contact_problem(jsonb)
from public, anon, authenticated, service_role;

comment on function jobsdb.contact_problem(jsonb) is
'Says why a host''s relation cannot be read as contacts.
Units:   source as a row of jobsdb.contact_source; null: the one that is bound.
Returns: a clause, null when it can be read or none is bound.
Errors:  none.
Source:  sql/functions/campaign/contact_problem.sql';
