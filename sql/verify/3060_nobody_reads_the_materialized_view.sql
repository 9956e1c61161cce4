-- 3060 Nobody reads the materialized view.
-- so: it has no row-level security, and pg_stats shows its values to whoever may read a column
select
  format('%s.%s', n.nspname, c.relname) as object,
  null as missing,
  format(
    '%s for %s', lower(string_agg(distinct g.privilege_type, ', ')), coalesce(r.rolname, 'PUBLIC')
  ) as extra,
  format(
    'revoke all on %s.%s from %s;', n.nspname, c.relname, coalesce(quote_ident(r.rolname), 'public')
  ) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join
  lateral (
    select
      x.grantee,
      x.privilege_type
    from aclexplode(c.relacl) as x
    union all
    select
      x.grantee,
      x.privilege_type
    from pg_catalog.pg_attribute as a
    cross join aclexplode(a.attacl) as x
    where a.attrelid = c.oid
  ) as g
left join pg_catalog.pg_roles as r on g.grantee = r.oid
where
  c.relkind = 'm'
  and n.nspname = 'jobsdb'
  and g.grantee <> c.relowner
group by n.nspname, c.relname, r.rolname
order by object, extra;
