-- 3090 Tenants have no right that policies miss.
-- so: rows of all organisations can be truncated, locked, overwritten or caught by a trigger
--
-- What the roles can do in effect, by whatever grant or membership. Inserting and updating is
-- granted by column: UPDATE and DELETE on a whole table allow LOCK TABLE.
select
  format('%s.%s', n.nspname, c.relname) as object,
  null as missing,
  format('%s for %s', string_agg(x.privilege, ', ' order by x.privilege), r.rolname) as extra,
  format(
    'revoke %s on %s.%s from public, %I;',
    string_agg(x.privilege, ', ' order by x.privilege), n.nspname, c.relname, r.rolname
  ) as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join pg_catalog.pg_roles as r
cross join (
  values ('insert'), ('update'), ('delete'), ('truncate'), ('references'), ('trigger')
) as x (privilege)
where
  c.relkind in ('r', 'p', 'v', 'm')
  and n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
  and format('%s.%s', n.nspname, c.relname) !~ ($1 ->> 'adopted')
  and r.rolname in ('anon', 'authenticated', 'service_role')
  and not r.rolsuper
  and not (
    x.privilege = 'delete'
    and r.rolname = 'service_role'
    and format('%s.%s', n.nspname, c.relname) in (
      'public.jobs', 'public.job_tasks', 'public.kanban_cards', 'public.agent_runs'
    )
  )
  and has_table_privilege(r.oid, c.oid, x.privilege)
group by n.nspname, c.relname, r.rolname
order by object, extra;
