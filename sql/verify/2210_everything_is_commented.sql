-- 2210 Everything is commented.
-- so: whoever meets the object has to guess what it is for and whose it is
-- level: warning
--
-- Only a comment that is missing is told. What is expected are the texts of those that stand in
-- migrations; the others are made again with the present state.
with expected as (
  select
    f.fact ->> 0 as object,
    split_part(f.fact ->> 1, ': ', 1) as kind,
    substring(f.fact ->> 1 from ': (.*)$') as said
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

ours as (
  select
    c.oid,
    c.relkind,
    format('%s.%s', n.nspname, c.relname) as object
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
),

things (object, kind, classoid, objoid, objsubid) as (
  select
    n.nspname,
    'schema',
    'pg_namespace'::regclass,
    n.oid,
    0
  from pg_catalog.pg_namespace as n
  where n.nspname = 'jobsdb'
  union all
  select
    o.object,
    case o.relkind
      when 'v' then 'view'
      when 'm' then 'materialized view'
      when 'S' then 'sequence'
      else 'table'
    end,
    'pg_class'::regclass,
    o.oid,
    0
  from ours as o
  where
    o.relkind in ('r', 'p', 'v', 'm')
    -- A sequence that belongs to a column is explained by the column.
    or (o.relkind = 'S' and not exists (
      select from pg_catalog.pg_depend as d
      where d.classid = 'pg_class'::regclass and d.objid = o.oid and d.deptype in ('i', 'a')
    ))
  union all
  select
    format('%s.%s', o.object, a.attname),
    'column',
    'pg_class'::regclass,
    o.oid,
    a.attnum::int
  from ours as o
  inner join
    pg_catalog.pg_attribute as a
    on o.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
  where o.relkind in ('r', 'p') or (o.relkind = 'v' and o.object like 'public.%')
  union all
  select
    format('%s.%s', o.object, t.tgname),
    'trigger',
    'pg_trigger'::regclass,
    t.oid,
    0
  from ours as o
  inner join pg_catalog.pg_trigger as t on o.oid = t.tgrelid and not t.tgisinternal
  union all
  select
    format('%s.%s', o.object, p.polname),
    'policy',
    'pg_policy'::regclass,
    p.oid,
    0
  from ours as o
  inner join pg_catalog.pg_policy as p on o.oid = p.polrelid
  union all
  select
    p.oid::regprocedure::text,
    'function',
    'pg_proc'::regclass,
    p.oid,
    0
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, p.proname))
  union all
  select
    format('%s.%s', n.nspname, t.typname),
    case t.typtype when 'd' then 'domain' else 'type' end,
    'pg_type'::regclass,
    t.oid,
    0
  from pg_catalog.pg_type as t
  inner join pg_catalog.pg_namespace as n on t.typnamespace = n.oid
  left join pg_catalog.pg_class as c on t.typrelid = c.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, t.typname))
    and (t.typtype in ('d', 'e', 'r') or c.relkind = 'c')
)

select
  t.object,
  'comment on the ' || t.kind as missing,
  case
    when $1 -> 'facts' <> '[]' then null
    when t.kind in ('schema', 'table', 'column', 'sequence', 'domain', 'type')
      then format('%s: %s', t.kind, d.description)
    else t.kind
  end as extra,
  case
    when e.said is not null then format('comment on %s %s is %L;', t.kind, t.object, e.said)
    when e.object is not null then $1 ->> 'again'
    else format('If it is meant to be there, say what it is for: comment on %s …', t.kind)
  end as fix
from things as t
left join expected as e on t.object = e.object and t.kind = e.kind
left join pg_catalog.pg_description as d
  on
    t.classoid = d.classoid
    and t.objoid = d.objoid
    and t.objsubid = d.objsubid
where
  (d.description is null or $1 -> 'facts' = '[]')
  and t.object !~ ($1 ->> 'host')
order by t.object;
