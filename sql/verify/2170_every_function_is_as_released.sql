-- 2170 Every function is as released.
-- so: the rules of the contract are those of somebody's own version
-- extra: warning
-- strict: failure
--
-- What create or replace silently resets is in it: volatility, security, search_path. A body is
-- compared by its hash; of a parsed one the aliases are taken off, as in 2160.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    p.oid::regprocedure::text as object,
    format(
      '(%s) returns %s, %s%s, %s, parallel %s, security %s%s%s, body %s',
      pg_get_function_arguments(p.oid),
      pg_get_function_result(p.oid),
      case p.prokind when 'f' then '' when 'p' then 'procedure, ' else 'aggregate or window, ' end,
      l.lanname,
      case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
      case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end,
      case when p.prosecdef then 'definer' else 'invoker' end,
      case when p.proisstrict then ', strict' else '' end
      || case when p.proleakproof then ', leakproof' else '' end,
      (
        select string_agg(', ' || s.setting, '' order by s.setting)
        from unnest(p.proconfig) as s (setting)
      ),
      left(encode(sha256(convert_to(
        case
          when p.prosqlbody is null then p.prosrc
          else regexp_replace(
            regexp_replace(
              pg_get_function_sqlbody(p.oid),
              '\m(?!public\.|jobsdb\.|auth\.)[a-z_][a-z_0-9]*\.(?=[a-z_])',
              '',
              'g'
            ),
            '\s+', ' ', 'g'
          )
        end,
        'UTF8'
      )), 'hex'), 12)
    ) as definition
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
  inner join pg_catalog.pg_language as l on p.prolang = l.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, p.proname))
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  case when e.object is null then format('drop function %s;', a.object) else $1 ->> 'again' end
    as fix
from expected as e
full join actual as a on e.object = a.object
where e.definition is distinct from a.definition
order by object;
