-- 2130 Every type is as released.
-- so: a state nobody knows can be stored, or a legal one cannot
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
    format('%s.%s', n.nspname, t.typname) as object,
    case t.typtype
      when 'd'
        then
          format(
            'domain over %s%s%s',
            format_type(t.typbasetype, t.typtypmod),
            case when t.typnotnull then ' not null' else '' end,
            (
              select
                string_agg(
                  format(' constraint %I %s', k.conname, pg_get_constraintdef(k.oid)),
                  '' order by k.conname
                )
              from pg_catalog.pg_constraint as k
              where k.contypid = t.oid and k.contype = 'c'
            )
          )
      when 'c'
        then
          format(
            'record of (%s)',
            (
              select
                string_agg(
                  format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)),
                  ', ' order by a.attnum
                )
              from pg_catalog.pg_attribute as a
              where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            )
          )
      when 'e'
        then
          format(
            'enum (%s)',
            (
              select string_agg(quote_literal(l.enumlabel), ', ' order by l.enumsortorder)
              from pg_catalog.pg_enum as l
              where l.enumtypid = t.oid
            )
          )
      else 'type'
    end as definition
  from pg_catalog.pg_type as t
  inner join pg_catalog.pg_namespace as n on t.typnamespace = n.oid
  left join pg_catalog.pg_class as c on t.typrelid = c.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, t.typname))
    and (t.typtype in ('d', 'e', 'r') or c.relkind = 'c')
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  case
    when
      e.object is null
      then format('Move it to a schema of your own: alter type %s set schema …;', a.object)
    when a.object is null then format('Create it again: %s', e.definition)
    else 'Make it again what it was: alter domain … drop constraint … and add constraint …;'
  end as fix
from expected as e
full join actual as a on e.object = a.object
where e.definition is distinct from a.definition
order by object;
