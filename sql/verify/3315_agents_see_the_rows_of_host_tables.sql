-- 3315 Agents see the rows of host tables.
-- so: what the service role reads of them in its own name is empty, without an error
-- level: warning
--
-- On Supabase that role sees past row-level security; elsewhere it needs a policy of the host's.
select
  format('%s.%s', n.nspname, c.relname) as object,
  format('a policy that lets %I read', r.rolname) as missing,
  null as extra,
  format(
    'create policy agents_do_all on %s.%s for all to %I using (true) with check (true);',
    n.nspname,
    c.relname,
    r.rolname
  ) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_roles as r on r.rolname = 'service_role'
where
  n.nspname = 'public'
  and c.relkind in ('r', 'p')
  and c.relrowsecurity
  and format('%s.%s', n.nspname, c.relname) ~ ($1 ->> 'adopted')
  and not r.rolsuper
  and not r.rolbypassrls
  and has_any_column_privilege(r.oid, c.oid, 'select')
  and not pg_has_role(r.oid, c.relowner, 'usage')
  and not exists (
    select from pg_catalog.pg_policy as p
    cross join unnest(p.polroles) as m (role_oid)
    where
      p.polrelid = c.oid
      and p.polpermissive
      and p.polcmd in ('r', '*')
      and (m.role_oid = 0 or pg_has_role(r.oid, m.role_oid, 'usage'))
  )
order by object;
