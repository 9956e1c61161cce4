-- 2110 Every table and view exists.
-- so: whatever uses it fails; a table that is not logged is empty after a crash
-- extra: warning
-- strict: failure
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s', n.nspname, c.relname) as object,
    case c.relpersistence when 'u' then 'unlogged ' else '' end
    || case c.relkind
      when 'r' then 'table'
      when 'p' then 'partitioned table'
      when 'f' then 'foreign table'
      when 'v' then 'view'
      when 'm' then 'materialized view'
      else format(
        'sequence as %s increment %s%s',
        format_type(s.seqtypid, null),
        s.seqincrement,
        case when s.seqcycle then ' cycle' else '' end
      )
    end as definition
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  left join pg_catalog.pg_sequence as s on c.oid = s.seqrelid
  where
    c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')
    and n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  case
    when
      e.object is null
      then
        format('Move it to a schema of your own, or drop it: drop %s %s;', a.definition, a.object)
    when a.definition like 'unlogged%' then format('alter table %s set logged;', a.object)
    when e.definition like '%view' then $1 ->> 'again'
    else 'Restore it, with its rows, from a backup.'
  end as fix
from expected as e
full join actual as a on e.object = a.object
where
  e.definition is distinct from a.definition
  and coalesce(e.object, a.object) !~ ($1 ->> 'host')
order by object;
