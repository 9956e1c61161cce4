-- 1060 It is known whose the host tables are.
-- so: the next deployment touches policies and grants of the host, or leaves ours out
--
-- The comment of a table says the same as jobsdb.host_tables, and can be read without any right.
with noted as (
  select
    w.table_name,
    h.made_by_jobsdb,
    coalesce(obj_description(c.oid, 'pg_class'), '') like '%Made by jobsdb%' as is_ours
  from (values ('kanban_cards'), ('agent_runs')) as w (table_name)
  left join jobsdb.host_tables as h on w.table_name = h.table_name
  left join pg_catalog.pg_class as c
    on
      w.table_name = c.relname
      and c.relkind in ('r', 'p')
      and c.relnamespace
      = (select n.oid from pg_catalog.pg_namespace as n where n.nspname = 'public')
)

select
  format('public.%s', d.table_name) as object,
  case
    when d.made_by_jobsdb is null then 'a row in jobsdb.host_tables'
    when d.made_by_jobsdb then 'a comment that says "Made by jobsdb"'
  end as missing,
  case when not d.made_by_jobsdb then 'a comment that says "Made by jobsdb"' end as extra,
  case
    when d.made_by_jobsdb is null
      then
        format(
          'insert into jobsdb.host_tables (table_name, made_by_jobsdb) values (%L, %L);',
          d.table_name,
          d.is_ours
        )
    when
      d.made_by_jobsdb
      then format('comment on table public.%s is ''Made by jobsdb.'';', d.table_name)
    else format('comment on table public.%s is null;', d.table_name)
  end as fix
from noted as d
where d.made_by_jobsdb is distinct from d.is_ours
order by object;
