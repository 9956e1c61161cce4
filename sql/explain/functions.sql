-- Every function of jobsdb, one row a function, as `jobsdb explain` and `jobsdb docs` tell of it.
-- $1: the names jobsdb has in schema public. What it calls and which tables it changes is read from
-- its text, where every name is qualified; in the order in which it first says so.
with ours as (
  select
    p.*,
    n.nspname,
    regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '--[^\n]*', '', 'g') as body
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or $1 ? format('%s.%s', n.nspname, p.proname))
),

arguments as (
  select
    o.oid,
    jsonb_agg(
      jsonb_build_object(
        'name', coalesce(o.proargnames[u.place], ''),
        'type', format_type(u.type, null),
        'mode', coalesce(o.proargmodes[u.place], 'i'),
        'default', case
          when coalesce(o.proargmodes[u.place], 'i') = 'i'
            then pg_get_function_arg_default(o.oid, u.place::int)
        end
      )
      order by u.place
    ) as facts
  from ours as o
  cross join
    lateral unnest(
      coalesce(o.proallargtypes, o.proargtypes::oid[])
    ) with ordinality as u (type, place)
  group by o.oid
),

said as (
  select
    o.oid,
    m.place,
    format('%s.%s', m.parts[1], m.parts[2]) as name
  from ours as o
  cross join lateral regexp_matches(
    o.body, '\m(public|jobsdb)\.(\w+)\s*\(', 'g'
  ) with ordinality as m (parts, place)
),

calls as (
  select
    c.oid,
    jsonb_agg(c.name order by c.place) as facts
  from (
    select
      s.oid,
      s.name,
      min(s.place) as place
    from said as s
    inner join ours as o on s.name = format('%s.%s', o.nspname, o.proname)
    where o.oid <> s.oid
    group by s.oid, s.name
  ) as c
  group by c.oid
),

changes as (
  select
    c.oid,
    jsonb_agg(jsonb_build_object('verb', c.verb, 'table', c.name) order by c.place) as facts
  from (
    select
      o.oid,
      split_part(lower(m.parts[1]), ' ', 1) as verb,
      format('%s.%s', m.parts[2], m.parts[3]) as name,
      min(m.place) as place
    from ours as o
    cross join
      lateral regexp_matches(
        o.body, '\m(insert\s+into|update|delete\s+from)\s+(public|jobsdb)\.(\w+)', 'gi'
      ) with ordinality as m (parts, place)
    group by o.oid, m.parts
  ) as c
  group by c.oid
)

select
  jsonb_build_object(
    'schema', o.nspname,
    'name', o.proname,
    'arguments', coalesce(a.facts, '[]'),
    'result', pg_get_function_result(o.oid),
    'is_trigger', o.prorettype = 'trigger'::regtype,
    'volatility',
    case o.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    'security', case when o.prosecdef then 'definer' else 'invoker' end,
    'comment', obj_description(o.oid, 'pg_proc'),
    'roles', (
      select coalesce(jsonb_agg(coalesce(r.rolname, 'public') order by r.rolname), '[]')
      from aclexplode(coalesce(o.proacl, acldefault('f', o.proowner))) as x
      left join pg_catalog.pg_roles as r on x.grantee = r.oid
      where x.grantee <> o.proowner
    ),
    'calls', coalesce(c.facts, '[]'),
    'changes', coalesce(w.facts, '[]')
  ) as function
from ours as o
left join arguments as a on o.oid = a.oid
left join calls as c on o.oid = c.oid
left join changes as w on o.oid = w.oid
order by o.nspname <> 'public', o.proname
