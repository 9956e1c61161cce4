-- 3360 Nobody else has rights.
-- so: not wrong by itself; these roles are yours, and so is what they may see
-- level: note
-- strict: failure
select
  format('%s.%s', n.nspname, c.relname) as object,
  null as missing,
  format('%s for %s', lower(string_agg(distinct x.privilege_type, ', ')), r.rolname) as extra,
  format('If that is not meant: revoke all on %s.%s from %I;', n.nspname, c.relname, r.rolname)
    as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join aclexplode(c.relacl) as x
inner join pg_catalog.pg_roles as r on x.grantee = r.oid
where
  c.relkind in ('r', 'p', 'v', 'm')
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s', n.nspname, c.relname) !~ ($1 ->> 'adopted')
  and x.grantee <> c.relowner
  and x.privilege_type <> 'MAINTAIN'
  and r.rolname not in ('anon', 'authenticated', 'service_role')
group by n.nspname, c.relname, r.rolname
order by object, extra;
