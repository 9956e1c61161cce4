-- The tables of this database, with the planner's estimate of their rows: null where nobody has
-- counted yet. An estimate is read off the catalog; counting would read the table. Whether jobsdb
-- made kanban_cards and agent_runs, because the host had none, stands in their comments.
select
  c.oid::int8 as relation,
  format('%I.%I', n.nspname, c.relname) as name,
  case when c.reltuples >= 0 then c.reltuples::int8 end as estimate,
  coalesce(obj_description(c.oid, 'pg_class'), '') like '%Made by jobsdb%' as is_ours
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  c.relkind in ('r', 'p', 'm')
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by name;
