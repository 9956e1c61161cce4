-- 2020 The API lists columns.
-- so: statements of the contract fail, or clients take a column for another type
-- extra: ignored
--
-- The readable page of 2120, in the words of the SQL standard and as a client sees it.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s.%s', c.table_schema, c.table_name, c.column_name) as object,
    c.data_type || case c.is_nullable when 'NO' then ' not null' else '' end as definition
  from information_schema.columns as c
  where
    c.table_schema = 'public'
    and ($1 -> 'ours') ? format('%s.%s', c.table_schema, c.table_name)
),

hidden as (
  select format('public.%s.', c.relname) as beginning
  from pg_catalog.pg_class as c
  where
    c.relnamespace = 'public'::regnamespace
    and not has_table_privilege(c.oid, 'select')
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  'See 2120.' as fix
from expected as e
full join actual as a on e.object = a.object
where
  e.definition is distinct from a.definition
  and coalesce(e.object, a.object) !~ ($1 ->> 'host')
  and not exists (select from hidden as h where starts_with(e.object, h.beginning))
order by object;
