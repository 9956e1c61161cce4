-- 6110 The caller may deploy.
-- so: `jobsdb migrate` is refused; whoever only works or looks needs none of this
--
-- What is missing, $1 -> 'lacks', is what `migrate` itself asks first: sql/migrate/preflight.sql.
select distinct
  'warn' as state,
  l.lack ->> 0 as sentence,
  l.lack ->> 1 as remedy
from jsonb_array_elements($1 -> 'lacks') as l (lack);
