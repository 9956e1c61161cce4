-- 3040 Policies look the caller up once.
-- so: a query asks for the identity once a row, or the policy lets in whom it should not name
select
  format('%s.%s.%s', n.nspname, c.relname, p.polname) as object,
  case when x.is_for_tenants then '(select jobsdb.my_org_ids()) in every condition' end as missing,
  case
    when not x.is_for_tenants then 'a policy for somebody else than authenticated and service_role'
  end as extra,
  $1 ->> 'again' as fix
from pg_catalog.pg_policy as p
inner join pg_catalog.pg_class as c on p.polrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join
  lateral (
    select
      coalesce(bool_or(r.rolname = 'authenticated'), false) as is_for_tenants,
      coalesce(bool_and(r.rolname = 'service_role'), false) as is_for_agents
    from unnest(p.polroles) as m (role_oid)
    left join pg_catalog.pg_roles as r on m.role_oid = r.oid
  ) as x
where
  n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s', n.nspname, c.relname) !~ ($1 ->> 'adopted')
  and not x.is_for_agents
  and not coalesce(
    x.is_for_tenants
    and coalesce(pg_get_expr(p.polqual, p.polrelid) like '%( SELECT jobsdb.my_org_ids()%', true)
    and coalesce(
      pg_get_expr(p.polwithcheck, p.polrelid) like '%( SELECT jobsdb.my_org_ids()%', true
    ),
    false
  )
order by object;
