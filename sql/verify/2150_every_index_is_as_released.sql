-- 2150 Every index is as released.
-- so: claims, metrics and deletes read whole tables, or a unique rule is gone
-- extra: warning
-- strict: failure
--
-- Indexes behind a constraint are compared with it (2140), validity stands in 3180.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s.%s', n.nspname, c.relname, x.relname) as object,
    replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') as definition
  from pg_catalog.pg_index as i
  inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
  inner join pg_catalog.pg_class as c on i.indrelid = c.oid
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
    and not exists (
      select from pg_catalog.pg_constraint as k
      where k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x')
    )
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  case
    when
      e.object is null
      then format('drop index concurrently %s;', regexp_replace(a.object, '\.[^.]*\.', '.'))
    when
      a.object is null
      then regexp_replace(e.definition, ' INDEX ', ' INDEX CONCURRENTLY ') || ';'
    else format(
      'drop index concurrently %s; %s;',
      regexp_replace(a.object, '\.[^.]*\.', '.'),
      regexp_replace(e.definition, ' INDEX ', ' INDEX CONCURRENTLY ')
    )
  end as fix
from expected as e
full join actual as a on e.object = a.object
where
  e.definition is distinct from a.definition
  and coalesce(e.object, a.object) !~ ($1 ->> 'host')
order by object;
