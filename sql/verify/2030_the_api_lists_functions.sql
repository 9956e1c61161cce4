-- 2030 The API lists functions.
-- so: a documented function cannot be called
-- extra: ignored
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s', r.routine_schema, r.routine_name) as object,
    lower(format('%s, security %s', min(r.routine_type), min(r.security_type))) as definition
  from information_schema.routines as r
  where
    r.routine_schema = 'public'
    and ($1 -> 'ours') ? format('%s.%s', r.routine_schema, r.routine_name)
  group by r.routine_schema, r.routine_name
),

hidden as (
  select format('public.%s', p.proname) as object
  from pg_catalog.pg_proc as p
  where
    p.pronamespace = 'public'::regnamespace
    and not has_function_privilege(p.oid, 'execute')
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
