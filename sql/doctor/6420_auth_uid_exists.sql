-- 6420 auth.uid() exists.
-- so: nothing says who calls: tenants get "auth.uid() does not exist", or nothing
select
  case when i.is_installed then 'bad' else 'ok' end as state,
  'auth.uid() does not exist' || case
    when i.is_installed then '' else ' yet: `jobsdb migrate` makes it'
  end as sentence,
  case when i.is_installed then 'jobsdb migrate --prerequisites' end as remedy
from (select ($1 ->> 'installed')::boolean as is_installed) as i
where not exists (
  select from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0
);
