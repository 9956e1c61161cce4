-- 3145 Tenants call no definer function.
-- so: PostgREST offers it to them, and it reads and writes with the rights of its owner
--
-- What they may call is a wrapper with the rights of the caller; behind it stands a private body,
-- which they cannot name (3070). By whatever grant or membership.
select
  p.oid::regprocedure::text as object,
  'security invoker' as missing,
  format('execute for %s', string_agg(r.rolname, ', ' order by r.rolname)) as extra,
  $1 ->> 'again' as fix
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
cross join pg_catalog.pg_roles as r
where
  n.nspname = 'public'
  and ($1 -> 'ours') ? format('public.%s', p.proname)
  and p.prosecdef
  and r.rolname in ('anon', 'authenticated')
  and not r.rolsuper
  and has_function_privilege(r.oid, p.oid, 'execute')
group by p.oid
order by object;
