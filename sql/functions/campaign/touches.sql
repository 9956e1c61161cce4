-- bundle 1
-- Days without a template of their own take the templates nobody has named, in order: intro first,
-- then as people count. JSON does not keep the order of its keys, so there has to be a rule.
create or replace function jobsdb.touches(
  params jsonb
)
returns table (touch int, day int, template text, is_named boolean)
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return query
  with days as (
    select
      substr(c.key, 4)::int as day,
      case jsonb_typeof(c.value)
        when 'string' then c.value #>> '{}'
        when 'object' then c.value ->> 'template'
      end as named
    from jsonb_each(
      case jsonb_typeof(touches.params -> 'cadence')
        when 'object' then touches.params -> 'cadence'
        -- Templates without a cadence are sent once.
        else case when touches.params ? 'templates' then '{"day0": true}' else '{}' end::jsonb
      end
    ) as c
    where c.key ~ '^day(0|[1-9][0-9]{0,2})$' and c.value not in ('false', 'null')
  ),
  free as (
    select
      t.name,
      row_number() over (
        order by t.name <> 'intro', jobsdb.natural_key(t.name) collate "C", t.name collate "C"
      ) as place
    from jsonb_object_keys(
      case jsonb_typeof(touches.params -> 'templates')
        when 'object' then touches.params -> 'templates'
        else '{}'
      end
    ) as t (name)
    where not exists (select from days as d where d.named = t.name)
  ),
  placed as (
    select
      d.day,
      d.named,
      row_number() over (partition by d.named is null order by d.day) as place
    from days as d
  )
  select
    (row_number() over (order by p.day) - 1)::int,
    p.day,
    coalesce(p.named, f.name),
    p.named is not null
  from placed as p
  left join free as f on p.named is null and f.place = p.place
  order by p.day;
end;
$$;
revoke all on function jobsdb.touches(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.touches(jsonb) is
'Lists the touches of a campaign in order: cadence says the days, templates what is written.
Units:   touch counts from 0; day is days after the first one was sent.
Returns: a row a touch; template null: somebody has to write it.
Errors:  none.
Source:  sql/functions/campaign/touches.sql';
