-- bundle 2
-- What a table just made, or a small one, does not need to do concurrently.
create or replace function jobsdb.adopt_in_place(
  max_rows int
)
returns void
language plpgsql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
as $$
declare
  v_step text;
  v_rows bigint;
  v_left text;
begin
  -- Grown indexes and checked constraints are this large or smaller; a bigger table waits.
  select max(n.rows_seen)
  into v_rows
  from (
    select count(*) as rows_seen
    from (select from public.kanban_cards limit adopt_in_place.max_rows + 1) as c
    union all
    select count(*)
    from (select from public.agent_runs limit adopt_in_place.max_rows + 1) as r
  ) as n;

  if v_rows <= adopt_in_place.max_rows then
    for v_step in select s.step from jobsdb.adoption_steps() as s (step) loop
      execute replace(v_step, ' concurrently', '');
    end loop;
    return;
  end if;

  select string_agg(s.step || ';', E'\n')
  into v_left
  from jobsdb.adoption_steps() as s (step);
  if v_left is not null then
    raise notice using
      message = 'jobsdb: the host''s tables are large; finish their adoption outside a transaction:'
        || E'\n' || v_left;
  end if;
end;
$$;
revoke all on function jobsdb.adopt_in_place(int) from public, anon, authenticated, service_role;

comment on function jobsdb.adopt_in_place(int) is
'Runs the adoption steps at once when neither host table has more than max_rows rows; else prints them in a NOTICE.
Units:   max_rows in rows of the larger table.
Returns: nothing.
Errors:  23503 when an existing link points nowhere.
Source:  sql/functions/access/adopt_in_place.sql';
