-- 3330 No foreign view shows our rows.
-- so: it reads them with the rights of its owner, past row-level security
-- level: warning
-- strict: failure
select distinct
  format('%s.%s', n.nspname, c.relname) as object,
  case c.relkind when 'v' then 'security_invoker = true' end as missing,
  format('select for %s on a view over %s.%s', r.rolname, tn.nspname, t.relname) as extra,
  case c.relkind
    when 'v' then format('alter view %s.%I set (security_invoker = true);', n.nspname, c.relname)
    else format('revoke select on %s.%I from public, %I;', n.nspname, c.relname, r.rolname)
  end as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_rewrite as w on c.oid = w.ev_class
inner join pg_catalog.pg_depend as d
  on
    d.classid = 'pg_rewrite'::regclass
    and w.oid = d.objid
    and d.refclassid = 'pg_class'::regclass
    and c.oid <> d.refobjid
inner join pg_catalog.pg_class as t on d.refobjid = t.oid
inner join pg_catalog.pg_namespace as tn on t.relnamespace = tn.oid
cross join pg_catalog.pg_roles as r
where
  c.relkind in ('v', 'm')
  and n.nspname <> 'jobsdb'
  and not ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname)
  and t.relkind in ('r', 'p', 'm')
  and (tn.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', tn.nspname, t.relname))
  and format('%s.%s', tn.nspname, t.relname) !~ ($1 ->> 'adopted')
  and r.rolname in ('anon', 'authenticated')
  and not r.rolsuper
  and has_schema_privilege(r.oid, n.oid, 'usage')
  and has_any_column_privilege(r.oid, c.oid, 'select')
  and not exists (
    select from pg_options_to_table(c.reloptions) as o
    where o.option_name = 'security_invoker' and o.option_value::boolean
  )
order by object, extra;
