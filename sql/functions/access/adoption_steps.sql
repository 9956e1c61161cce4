-- bundle 2
-- Read off the catalog, so it can be interrupted and asked again at any time.
create or replace function jobsdb.adoption_steps()
returns setof text
language plpgsql
stable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return query
  with wanted (table_name, index_name, key_columns) as (
    values
    ('kanban_cards', 'jobsdb_cards_of_job', 'job_id'),
    ('kanban_cards', 'jobsdb_cards_of_task', 'task_id'),
    ('agent_runs', 'jobsdb_runs_of_job', 'job_id')
  ),
  steps (place, step) as (
    -- A concurrent build that failed leaves an invalid index, which `if not exists` would keep.
    select 1, format('drop index concurrently public.%I', w.index_name)
    from wanted as w
    inner join pg_catalog.pg_index as i on i.indexrelid = to_regclass('public.' || w.index_name)
    where not i.indisvalid
    union all
    select 2, format(
      'create index concurrently %I on public.%I (%I) where %I is not null',
      w.index_name, w.table_name, w.key_columns, w.key_columns
    )
    from wanted as w
    where not exists (
      select from pg_catalog.pg_index as i
      where i.indexrelid = to_regclass('public.' || w.index_name) and i.indisvalid
    )
    union all
    select 3, format('alter table public.%I validate constraint %I', t.relname, c.conname)
    from pg_catalog.pg_constraint as c
    inner join pg_catalog.pg_class as t on t.oid = c.conrelid
    where c.conrelid in (to_regclass('public.kanban_cards'), to_regclass('public.agent_runs'))
      and starts_with(c.conname::text, 'jobsdb_')
      and not c.convalidated
  )
  select s.step from steps as s order by s.place, s.step;
end;
$$;
revoke all on function jobsdb.adoption_steps() from public, anon, authenticated, service_role;

comment on function jobsdb.adoption_steps() is
'Lists the statements that finish the adoption of the host''s tables without long locks, in order; `jobsdb migrate` runs them after its transaction.
Returns: one statement a row, to be run outside a transaction; none when adoption is finished.
Errors:  none.
Source:  sql/functions/access/adoption_steps.sql';
