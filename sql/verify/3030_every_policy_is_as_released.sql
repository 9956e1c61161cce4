-- 3030 Every policy is as released.
-- so: tenants see or change rows of each other, or no longer their own
--
-- Policies of one table are joined by OR: one more opens the table further.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s.%s', n.nspname, c.relname, p.polname) as object,
    format(
      'as %s for %s to %s%s%s',
      case when p.polpermissive then 'permissive' else 'restrictive' end,
      case p.polcmd
        when 'r' then 'select'
        when 'a' then 'insert'
        when 'w' then 'update'
        when 'd' then 'delete'
        else 'all'
      end,
      (
        select string_agg(coalesce(r.rolname, 'public'), ', ' order by r.rolname)
        from unnest(p.polroles) as m (role_oid)
        left join pg_catalog.pg_roles as r on m.role_oid = r.oid
      ),
      ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
      ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'
    ) as definition
  from pg_catalog.pg_policy as p
  inner join pg_catalog.pg_class as c on p.polrelid = c.oid
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
),

found as (
  select
    coalesce(e.object, a.object) as object,
    e.definition as missing,
    a.definition as extra,
    regexp_match(coalesce(e.object, a.object), '^(.*)\.([^.]*)$') as place
  from expected as e
  full join actual as a on e.object = a.object
  where
    e.definition is distinct from a.definition
    and coalesce(e.object, a.object) !~ ($1 ->> 'adopted')
)

select
  f.object,
  f.missing,
  f.extra,
  concat_ws(
    ' ',
    case when f.extra is not null then format('drop policy %I on %s;', f.place[2], f.place[1]) end,
    case
      when
        f.missing is not null
        then format('create policy %I on %s %s;', f.place[2], f.place[1], f.missing)
    end
  ) as fix
from found as f
order by object;
