-- 3150 No public function is overloaded.
-- so: PostgREST calls by argument names and cannot tell which one is meant
select
  format('public.%s', p.proname) as object,
  null as missing,
  string_agg(p.oid::regprocedure::text, ', ' order by p.oid::regprocedure::text) as extra,
  'drop function …; the one without a comment is not ours' as fix
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
where
  n.nspname = 'public'
  and ($1 -> 'ours') ? format('public.%s', p.proname)
group by p.proname
having count(*) > 1
order by object;
