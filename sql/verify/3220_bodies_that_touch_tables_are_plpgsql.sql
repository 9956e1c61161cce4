-- 3220 Bodies that touch tables are plpgsql.
-- so: an inlined or merging statement cannot be routed to one organisation's machine
--
-- Not so: the parsed bodies in schema public, thin wrappers and read functions that callers who
-- cannot enter schema jobsdb need.
select
  p.oid::regprocedure::text as object,
  'language plpgsql, without merge' as missing,
  format(
    'language %s%s', l.lanname, case when p.prosrc ~* '\mmerge\s+into\M' then ', merge' else '' end
  ) as extra,
  $1 ->> 'again' as fix
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
inner join pg_catalog.pg_language as l on p.prolang = l.oid
where
  n.nspname in ('public', 'jobsdb')
  and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, p.proname))
  and (
    p.prosrc ~* '\mmerge\s+into\M'
    or not (
      l.lanname = 'plpgsql'
      or (n.nspname = 'public' and l.lanname = 'sql' and p.prosqlbody is not null)
    )
  )
order by object;
