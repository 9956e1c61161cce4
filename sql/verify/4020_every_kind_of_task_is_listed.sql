-- 4020 Every kind of task is listed.
-- so: tasks of a documented kind cannot be planned
-- extra: ignored
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    k.kind as object,
    'kind of task' as definition
  from jobsdb.task_kinds as k
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  format(
    'insert into jobsdb.task_kinds (kind, meaning, example_input) values (%L, ''…'', ''{}'');',
    e.object
  ) as fix
from expected as e
full join actual as a on e.object = a.object
where e.object is null or a.object is null
order by object;
