-- 2165 The materialized view is filled.
-- so: every query of job_metrics fails
select
  format('%s.%s', n.nspname, c.relname) as object,
  'rows' as missing,
  null as extra,
  'refresh materialized view jobsdb.job_metrics_mv;' as fix
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  n.nspname = 'jobsdb'
  and c.relkind = 'm'
  and not c.relispopulated
order by object;
