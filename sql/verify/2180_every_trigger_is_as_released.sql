-- 2180 Every trigger is as released.
-- so: moves are not proved, counters stand still, or approvals leave no trace
-- extra: warning
-- strict: failure
--
-- Whether it is enabled stands in 3170.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s.%s', n.nspname, c.relname, t.tgname) as object,
    pg_get_triggerdef(t.oid) as definition
  from pg_catalog.pg_trigger as t
  inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    not t.tgisinternal
    and n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  case
    when e.object is not null then $1 ->> 'again'
    else regexp_replace(a.object, '^(.*)\.([^.]*)$', 'If nobody knows it: drop trigger \2 on \1;')
  end as fix
from expected as e
full join actual as a on e.object = a.object
where
  e.definition is distinct from a.definition
  and coalesce(e.object, a.object) !~ ($1 ->> 'host')
order by object;
