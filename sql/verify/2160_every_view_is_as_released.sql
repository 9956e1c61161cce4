-- 2160 Every view is as released.
-- so: metrics are wrong, or show rows of other organisations
--
-- From 16 on the server leaves out the table's alias where there is only one table: all aliases
-- are taken off before the texts are compared, by their hash.
with options as (
  select
    c.oid,
    string_agg(format(', %s=%s', o.option_name, o.option_value), '' order by o.option_name) as said
  from pg_catalog.pg_class as c
  cross join pg_options_to_table(c.reloptions) as o
  where c.relkind = 'v'
  group by c.oid
),

expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s', n.nspname, c.relname) as object,
    format(
      'query %s%s',
      left(encode(sha256(convert_to(
        regexp_replace(
          regexp_replace(
            pg_get_viewdef(c.oid),
            '\m(?!public\.|jobsdb\.|auth\.)[a-z_][a-z_0-9]*\.(?=[a-z_])',
            '',
            'g'
          ),
          '\s+', ' ', 'g'
        ),
        'UTF8'
      )), 'hex'), 12),
      o.said
    ) as definition
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  left join options as o on c.oid = o.oid
  where
    c.relkind in ('v', 'm')
    and n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
)

select
  a.object,
  e.definition as missing,
  a.definition as extra,
  $1 ->> 'again' as fix
from actual as a
left join expected as e on a.object = e.object
where
  e.definition is distinct from a.definition
  and (e.object is not null or $1 -> 'facts' = '[]')
order by a.object;
