-- The tables of this database, with the planner's estimate of their rows: null where nobody has
-- counted yet. An estimate is read off the catalog; counting would read the table.
select
  c.oid::int8 as relation,
  format('%I.%I', n.nspname, c.relname) as name,
  case when c.reltuples >= 0 then c.reltuples::int8 end as estimate
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where
  c.relkind in ('r', 'p', 'm')
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by name;
