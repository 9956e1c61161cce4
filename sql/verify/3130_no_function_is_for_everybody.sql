-- 3130 No function is for everybody.
-- so: it can be called without signing in
--
-- A new function is for everybody until that is revoked; default privileges of a schema cannot
-- change it.
select
  p.oid::regprocedure::text as object,
  null as missing,
  format('execute for %s', coalesce(min(r.rolname), 'PUBLIC')) as extra,
  format('revoke execute on function %s from public, anon;', p.oid::regprocedure) as fix
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x
left join pg_catalog.pg_roles as r on x.grantee = r.oid
where
  n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, p.proname))
  and coalesce(r.rolname, 'anon') = 'anon'
group by p.oid
order by object;
