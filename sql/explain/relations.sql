-- Every table and view of jobsdb, one row a relation, as `jobsdb explain` and `jobsdb docs` tell of
-- it. $1: the names jobsdb has in schema public. Triggers stand in firing order: PostgreSQL fires
-- those of one moment by name. What the owner may do is left out.
with ours as (
  select
    c.oid,
    n.nspname,
    c.relname,
    c.relkind,
    c.relrowsecurity,
    c.relacl,
    c.relowner,
    c.reloptions
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    c.relkind in ('r', 'p', 'v', 'm')
    and (n.nspname = 'jobsdb' or $1 ? format('%s.%s', n.nspname, c.relname))
    and n.nspname in ('public', 'jobsdb')
),

columns as (
  select
    a.attrelid as oid,
    jsonb_agg(
      jsonb_build_object(
        'name', a.attname,
        'type', format_type(a.atttypid, a.atttypmod),
        'nullable', not a.attnotnull,
        'default', case
          when a.attidentity <> '' then 'identity' else pg_get_expr(d.adbin, d.adrelid)
        end,
        'comment', col_description(a.attrelid, a.attnum)
      )
      order by a.attnum
    ) as facts
  from pg_catalog.pg_attribute as a
  left join pg_catalog.pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
  where a.attnum > 0 and not a.attisdropped
  group by a.attrelid
),

-- NOT NULL is a constraint of its own from PostgreSQL 18 on; columns tell of it.
constraints as (
  select
    k.conrelid as oid,
    jsonb_agg(
      jsonb_build_object(
        'name', k.conname,
        'definition', pg_get_constraintdef(k.oid),
        'refers_to', case when k.contype = 'f' then k.confrelid::regclass::text end,
        'comment', obj_description(k.oid, 'pg_constraint')
      )
      order by strpos('pufc', k.contype), k.conname
    ) as facts
  from pg_catalog.pg_constraint as k
  where k.contype in ('p', 'u', 'f', 'c')
  group by k.conrelid
),

-- A key's own index is told with the key.
indexes as (
  select
    i.indrelid as oid,
    jsonb_agg(
      jsonb_build_object(
        'name', c.relname,
        'definition',
        regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (.*)INDEX .* ON \S+ USING ', '\1'),
        'comment', obj_description(c.oid, 'pg_class')
      )
      order by c.relname
    ) as facts
  from pg_catalog.pg_index as i
  inner join pg_catalog.pg_class as c on i.indexrelid = c.oid
  where
    not exists (
      select from pg_catalog.pg_constraint as k
      where k.conindid = i.indexrelid and k.contype in ('p', 'u')
    )
  group by i.indrelid
),

moments as (
  select
    t.oid,
    case
      when t.tginitdeferred then 'at commit, for each row'
      when t.tgtype & 64 <> 0 then 'instead of each row'
      when t.tgtype & 3 = 2 then 'before the statement'
      when t.tgtype & 3 = 3 then 'before each row'
      when t.tgtype & 3 = 1 then 'after each row'
      else 'after the statement'
    end as moment
  from pg_catalog.pg_trigger as t
),

triggers as (
  select
    t.tgrelid as oid,
    jsonb_agg(
      jsonb_build_object(
        'name', t.tgname,
        'moment', m.moment,
        'events', (
          select jsonb_agg(e.event order by e.bit)
          from
            (values (4, 'insert'), (16, 'update'), (8, 'delete'), (32, 'truncate'))
              as e (bit, event)
          where t.tgtype & e.bit <> 0
        ),
        'columns', (
          select coalesce(jsonb_agg(a.attname order by u.place), '[]')
          from unnest(t.tgattr::int2[]) with ordinality as u (attnum, place)
          inner join pg_catalog.pg_attribute as a on t.tgrelid = a.attrelid and u.attnum = a.attnum
        ),
        'condition',
        substring(pg_get_triggerdef(t.oid, true) from ' WHEN \((.*)\) EXECUTE FUNCTION '),
        'function', t.tgfoid::regproc::text,
        'enabled', t.tgenabled <> 'D',
        'comment', obj_description(t.oid, 'pg_trigger')
      )
      order by
        array_position(
          array[
            'before the statement', 'before each row', 'instead of each row', 'after each row',
            'after the statement', 'at commit, for each row'
          ],
          m.moment
        ),
        t.tgname
    ) as facts
  from pg_catalog.pg_trigger as t
  inner join moments as m on t.oid = m.oid
  where not t.tgisinternal
  group by t.tgrelid
),

policies as (
  select
    p.polrelid as oid,
    jsonb_agg(
      jsonb_build_object(
        'name', p.polname,
        'verb', case p.polcmd
          when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when
            'd'
            then 'delete'
          else 'all'
        end,
        'roles', (
          select jsonb_agg(coalesce(r.rolname, 'public') order by r.rolname)
          from unnest(p.polroles) as w (oid)
          left join pg_catalog.pg_roles as r on w.oid = r.oid
        ),
        'sees', pg_get_expr(p.polqual, p.polrelid),
        'writes', pg_get_expr(p.polwithcheck, p.polrelid),
        'comment', obj_description(p.oid, 'pg_policy')
      )
      order by strpos('rawd*', p.polcmd), p.polname
    ) as facts
  from pg_catalog.pg_policy as p
  group by p.polrelid
),

rights (oid, role, verb, attnum) as (
  select
    o.oid,
    coalesce(r.rolname, 'public'),
    lower(x.privilege_type),
    0
  from ours as o
  cross join aclexplode(o.relacl) as x
  left join pg_catalog.pg_roles as r on x.grantee = r.oid
  where x.grantee <> o.relowner
  union all
  select
    o.oid,
    coalesce(r.rolname, 'public'),
    lower(x.privilege_type),
    a.attnum
  from ours as o
  inner join pg_catalog.pg_attribute as a on o.oid = a.attrelid and a.attnum > 0
  cross join aclexplode(a.attacl) as x
  left join pg_catalog.pg_roles as r on x.grantee = r.oid
  where x.grantee <> o.relowner
),

granted as (
  select
    g.oid,
    g.role,
    g.verb,
    jsonb_agg(a.attname order by g.attnum) filter (where g.attnum > 0) as columns
  from rights as g
  left join
    pg_catalog.pg_attribute as a
    on g.oid = a.attrelid and g.attnum = a.attnum and g.attnum > 0
  group by g.oid, g.role, g.verb
),

grants as (
  select
    g.oid,
    jsonb_agg(
      jsonb_build_object('role', g.role, 'verb', g.verb, 'columns', coalesce(g.columns, '[]'))
      order by g.role, array_position(array['select', 'insert', 'update', 'delete'], g.verb), g.verb
    ) as facts
  from granted as g
  group by g.oid
)

select
  jsonb_build_object(
    'schema', o.nspname,
    'name', o.relname,
    'kind', case o.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end,
    'secured', o.relrowsecurity or coalesce(o.reloptions @> '{security_invoker=true}', false),
    'comment', obj_description(o.oid, 'pg_class'),
    'columns', c.facts,
    'constraints', coalesce(k.facts, '[]'),
    'indexes', coalesce(i.facts, '[]'),
    'triggers', coalesce(t.facts, '[]'),
    'policies', coalesce(p.facts, '[]'),
    'grants', coalesce(g.facts, '[]')
  ) as relation
from ours as o
left join columns as c on o.oid = c.oid
left join constraints as k on o.oid = k.oid
left join indexes as i on o.oid = i.oid
left join triggers as t on o.oid = t.oid
left join policies as p on o.oid = p.oid
left join grants as g on o.oid = g.oid
order by o.nspname <> 'public', o.relname
