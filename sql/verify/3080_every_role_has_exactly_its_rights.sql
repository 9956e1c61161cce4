-- 3080 Every role has exactly its rights.
-- so: a call of the contract is refused, or somebody reads, writes or runs what he should not
--
-- Rights are compared one by one: the order of a list changes with a restore. The owner's own are
-- left out: 17 has added MAINTAIN to them. What other roles hold stands in 3360.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

things (object, target, owner, acl) as (
  select
    format('%s.%s', n.nspname, c.relname),
    format(
      ' on %s %s.%s', case c.relkind when 'S' then 'sequence' else 'table' end, n.nspname, c.relname
    ),
    c.relowner,
    coalesce(
      c.relacl,
      case c.relkind when 'S' then acldefault('s', c.relowner) else acldefault('r', c.relowner) end
    )
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')
    and n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  union all
  select
    format('%s.%s.%s', n.nspname, c.relname, a.attname),
    format(' (%I) on table %s.%s', a.attname, n.nspname, c.relname),
    c.relowner,
    a.attacl
  from pg_catalog.pg_attribute as a
  inner join pg_catalog.pg_class as c on a.attrelid = c.oid
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    a.attacl is not null
    and not a.attisdropped
    and n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  union all
  select
    p.oid::regprocedure::text,
    format(' on function %s', p.oid::regprocedure),
    p.proowner,
    coalesce(p.proacl, acldefault('f', p.proowner))
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, p.proname))
  union all
  select
    format('%s.%s', n.nspname, t.typname),
    format(' on type %s.%s', n.nspname, t.typname),
    t.typowner,
    coalesce(t.typacl, acldefault('T', t.typowner))
  from pg_catalog.pg_type as t
  inner join pg_catalog.pg_namespace as n on t.typnamespace = n.oid
  left join pg_catalog.pg_class as c on t.typrelid = c.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, t.typname))
    and (t.typtype in ('d', 'e', 'r') or c.relkind = 'c')
  union all
  select
    n.nspname,
    format(' on schema %s', n.nspname),
    n.nspowner,
    coalesce(n.nspacl, acldefault('n', n.nspowner))
  from pg_catalog.pg_namespace as n
  where n.nspname = 'jobsdb'
),

there as (
  select t.object
  from things as t
  union all
  select format('%s.%s.%s', n.nspname, c.relname, a.attname)
  from pg_catalog.pg_attribute as a
  inner join pg_catalog.pg_class as c on a.attrelid = c.oid
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    not a.attisdropped
    and c.relkind in ('r', 'p', 'f', 'v', 'm')
    and n.nspname in ('public', 'jobsdb')
),

actual as (
  select distinct
    t.object,
    format(
      '%s%s to %s%s',
      lower(x.privilege_type),
      t.target,
      coalesce(r.rolname, 'public'),
      case when x.is_grantable then ' with grant option' else '' end
    ) as definition
  from things as t
  cross join aclexplode(t.acl) as x
  left join pg_catalog.pg_roles as r on x.grantee = r.oid
  where
    x.grantee <> t.owner
    and coalesce(r.rolname, 'anon') in ('anon', 'authenticated', 'service_role')
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  case
    -- What does not exist gets its rights when it is made.
    when a.object is null and not exists (select from there as t where t.object = e.object)
      then $1 ->> 'again'
    when a.object is null then format('grant %s;', e.definition)
    when
      a.definition like '%with grant option'
      then format(
        'revoke grant option for %s;',
        replace(replace(a.definition, ' to ', ' from '), ' with grant option', '')
      )
    -- Revoking a right to a table revokes it for the columns, too.
    else format(
      'revoke %s;%s',
      replace(a.definition, ' to ', ' from '),
      (
        select string_agg(format(' grant %s;', w.definition), '' order by w.definition)
        from expected as w
        where w.definition like regexp_replace(a.definition, '^(\S+) on ', '\1 (%) on ')
      )
    )
  end as fix
from expected as e
full join actual as a on e.object = a.object and e.definition = a.definition
where
  (e.object is null or a.object is null)
  and coalesce(e.object, a.object) !~ ($1 ->> 'adopted')
order by object, missing, extra;
