-- 2010 The API lists tables and views.
-- so: clients that look into information_schema do not find what the contract promises
-- extra: ignored
--
-- information_schema shows a reader only what he has some right to; the rest is left to 2110.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s', t.table_schema, t.table_name) as object,
    lower(t.table_type) as definition
  from information_schema.tables as t
  where
    t.table_schema = 'public'
    and ($1 -> 'ours') ? format('%s.%s', t.table_schema, t.table_name)
),

hidden as (
  select format('public.%s', c.relname) as object
  from pg_catalog.pg_class as c
  where
    c.relnamespace = 'public'::regnamespace
    and not has_table_privilege(c.oid, 'select')
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  $1 ->> 'again' as fix
from expected as e
full join actual as a on e.object = a.object
where
  e.definition is distinct from a.definition
  and not exists (select from hidden as h where h.object = e.object)
order by object;
