-- 3100 Only functions write counters and leases.
-- so: a plain update moves a task past its guard, or makes counters lie
select
  format('%s.%s.%s', n.nspname, c.relname, a.attname) as object,
  null as missing,
  format('%s for %s', string_agg(x.privilege, ', ' order by x.privilege), r.rolname) as extra,
  format(
    'revoke insert (%1$I), update (%1$I) on %2$s.%3$s from public, %4$I;',
    a.attname,
    n.nspname,
    c.relname,
    r.rolname
  ) as fix
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join pg_catalog.pg_roles as r
cross join (values ('insert'), ('update')) as x (privilege)
where
  n.nspname = 'public'
  and not a.attisdropped
  and (
    (
      c.relname = 'jobs'
      and (a.attname ~ '^(tasks|cards)_' or a.attname in ('id', 'created_by', 'paused_at'))
    )
    or (
      c.relname = 'job_tasks'
      and a.attname in (
        'id', 'rev', 'pos', 'waits_on', 'attempt', 'lease_token', 'lease_expires_at', 'locked_by'
      )
    )
  )
  and r.rolname in ('anon', 'authenticated', 'service_role')
  and not r.rolsuper
  and has_column_privilege(r.oid, c.oid, a.attnum, x.privilege)
group by n.nspname, c.relname, a.attname, r.rolname
order by object, extra;
