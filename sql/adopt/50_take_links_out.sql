-- The links of the host's cards and runs are written down and taken out, until their jobs are there
-- again. The host's own triggers do not see it: nothing of the rows is different afterwards.
do $$
declare
  v_trigger record;
begin
  create table jobsdb_before.card_links (
    id uuid not null,
    job_id uuid,
    task_id text,
    state text,
    target_job_id uuid,
    target_task_id bigint,
    is_taken boolean not null default false
  );
  create table jobsdb_before.run_links (
    id uuid not null,
    job_id uuid,
    is_taken boolean not null default false
  );

  for v_trigger in
    select
      t.tgrelid::regclass::text as table_name,
      t.tgname,
      case t.tgenabled when 'R' then 'enable replica' when 'A' then 'enable always' else 'enable' end
        as enable
    from pg_catalog.pg_trigger as t
    where t.tgrelid in (to_regclass('public.kanban_cards'), to_regclass('public.agent_runs'))
      and not t.tgisinternal
      and t.tgenabled <> 'D'
  loop
    execute format('alter table %s disable trigger %I', v_trigger.table_name, v_trigger.tgname);
    insert into jobsdb_before.quiet_triggers (table_name, trigger_name, enable)
    values (v_trigger.table_name, v_trigger.tgname, v_trigger.enable);
  end loop;
end;
$$;

do $$
declare
  v_type_name text;
  v_has_job_id boolean;
  v_task_id_type text;
begin
  -- Cards. Their id may be of any type.
  select pg_catalog.format_type(a.atttypid, a.atttypmod)
  into v_type_name
  from pg_catalog.pg_attribute as a
  where a.attrelid = to_regclass('public.kanban_cards') and a.attname = 'id' and not a.attisdropped;
  select
    bool_or(a.attname = 'job_id') is true,
    max(pg_catalog.format_type(a.atttypid, null)) filter (where a.attname = 'task_id')
  into v_has_job_id, v_task_id_type
  from pg_catalog.pg_attribute as a
  where a.attrelid = to_regclass('public.kanban_cards') and not a.attisdropped;

  if v_type_name is not null and (v_has_job_id or v_task_id_type is not null) then
    execute format(
      'alter table jobsdb_before.card_links alter column id type %s using null', v_type_name
    );
    execute format(
      'insert into jobsdb_before.card_links (id, job_id, task_id, state)'
      || ' select k.id, %1$s, %2$s, to_jsonb(k.*) ->> ''state'' from public.kanban_cards as k'
      || ' where %1$s is not null or %2$s is not null',
      case when v_has_job_id then 'k.job_id' else 'null::uuid' end,
      case when v_task_id_type is not null then 'k.task_id::text' else 'null::text' end
    );
    if v_has_job_id and v_task_id_type = 'bigint' then
      update public.kanban_cards as k
      set job_id = null, task_id = null
      where k.job_id is not null or k.task_id is not null;
    elsif v_has_job_id then
      update public.kanban_cards as k
      set job_id = null
      where k.job_id is not null;
    elsif v_task_id_type = 'bigint' then
      update public.kanban_cards as k
      set task_id = null
      where k.task_id is not null;
    end if;
  end if;

  -- Tasks have a number now. A column of another type keeps its values under another name.
  if v_task_id_type <> 'bigint' then
    alter table public.kanban_cards rename column task_id to task_id_before;
    insert into jobsdb_before.way_back (place, statement)
    values
    (46, 'alter table public.kanban_cards drop column task_id'),
    (49, 'alter table public.kanban_cards rename column task_id_before to task_id');
    insert into jobsdb_before.said (sentence)
    values (
      format(
        'column task_id of public.kanban_cards, which is %s, is now task_id_before; the new one is'
        || ' bigint',
        v_task_id_type
      )
    );
  end if;
  insert into jobsdb_before.way_back (place, statement)
  select 48, format('alter table public.kanban_cards drop column if exists %I', n.column_name)
  from (
    values
    ('job_id', v_has_job_id), ('task_id', v_task_id_type is not distinct from 'bigint')
  ) as n (column_name, was_there)
  where not n.was_there and v_type_name is not null;

  insert into jobsdb_before.way_back (place, statement)
  select 50, n.statement
  from (
    values
    (v_has_job_id, 'update public.kanban_cards set job_id = null where job_id is not null'),
    (
      v_task_id_type = 'bigint',
      'update public.kanban_cards set task_id = null where task_id is not null'
    ),
    (
      v_has_job_id,
      'update public.kanban_cards as k set job_id = l.job_id'
      || ' from jobsdb_before.card_links as l where l.id = k.id'
    ),
    (
      v_task_id_type = 'bigint',
      'update public.kanban_cards as k set task_id = l.task_id::bigint'
      || ' from jobsdb_before.card_links as l where l.id = k.id'
    )
  ) as n (is_so, statement)
  where n.is_so;

  -- Runs.
  select
    max(pg_catalog.format_type(a.atttypid, a.atttypmod)) filter (where a.attname = 'id'),
    bool_or(a.attname = 'job_id') is true
  into v_type_name, v_has_job_id
  from pg_catalog.pg_attribute as a
  where a.attrelid = to_regclass('public.agent_runs') and not a.attisdropped;
  if v_type_name is not null and v_has_job_id then
    execute format(
      'alter table jobsdb_before.run_links alter column id type %s using null', v_type_name
    );
    insert into jobsdb_before.run_links (id, job_id)
    select r.id, r.job_id
    from public.agent_runs as r
    where r.job_id is not null;
    update public.agent_runs as r
    set job_id = null
    where r.job_id is not null;
    insert into jobsdb_before.way_back (place, statement)
    values
    (50, 'update public.agent_runs set job_id = null where job_id is not null'),
    (
      50,
      'update public.agent_runs as r set job_id = l.job_id'
      || ' from jobsdb_before.run_links as l where l.id = r.id'
    );
  elsif v_type_name is not null then
    insert into jobsdb_before.way_back (place, statement)
    values (48, 'alter table public.agent_runs drop column if exists job_id');
  end if;
end;
$$;

create index card_links_by_card on jobsdb_before.card_links (id);
create index card_links_by_job on jobsdb_before.card_links (target_job_id);
create index run_links_by_run on jobsdb_before.run_links (id);
create index run_links_by_job on jobsdb_before.run_links (job_id);

comment on table jobsdb_before.card_links is
'How the host''s cards were linked to the old jobs and tasks, in which state they were, and whether the link was taken over.';
comment on table jobsdb_before.run_links is
'How the host''s runs were linked to the old jobs, and whether the link was taken over.';
