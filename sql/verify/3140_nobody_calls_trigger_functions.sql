-- 3140 Nobody calls trigger functions.
-- so: attached to a table of one's own they change other people's counters, with the owner's rights
--
-- EXECUTE is asked for when a trigger is created, not when it fires.
select
  p.oid::regprocedure::text as object,
  null as missing,
  format('execute for %s', coalesce(r.rolname, 'PUBLIC')) as extra,
  format(
    'revoke execute on function %s from %s;',
    p.oid::regprocedure,
    coalesce(quote_ident(r.rolname), 'public')
  ) as fix
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x
left join pg_catalog.pg_roles as r on x.grantee = r.oid
where
  n.nspname = 'jobsdb'
  and p.prorettype = 'trigger'::regtype
  and x.grantee <> p.proowner
order by object, extra;
