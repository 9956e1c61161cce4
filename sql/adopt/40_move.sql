-- The move itself. Whatever undoes a statement is written down with it; way_back runs by place: 10
-- what jobsdb made goes, 20 to 22 objects return, 30 their rights, 40 to 53 the links of the host's
-- tables, 60 triggers, 90 this schema goes.
do $$
declare
  v_role text;
  v_item record;
  v_column record;
  v_target text;
begin
  -- Rights, as they are.
  insert into jobsdb_before.way_back (place, statement)
  select 30, format(
    'grant %s on %s public.%I to %s%s',
    x.privilege_type,
    case c.relkind when 'S' then 'sequence' else 'table' end,
    c.relname,
    coalesce(quote_ident(r.rolname), 'public'),
    case when x.is_grantable then ' with grant option' else '' end
  )
  from pg_catalog.pg_class as c
  cross join aclexplode(c.relacl) as x
  left join pg_catalog.pg_roles as r on r.oid = x.grantee
  where x.grantee <> c.relowner
    and (
      c.oid in (select m.object_id from jobsdb_before.moved as m)
      or c.oid in (
        select d.objid
        from pg_catalog.pg_depend as d
        inner join jobsdb_before.moved as m on d.refobjid = m.object_id
        where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
          and c.relkind = 'S'
      )
    )
  union all
  select 30, format(
    'grant %s (%I) on table public.%I to %s',
    x.privilege_type, a.attname, c.relname, coalesce(quote_ident(r.rolname), 'public')
  )
  from pg_catalog.pg_class as c
  inner join jobsdb_before.moved as m on m.object_id = c.oid
  inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and not a.attisdropped
  cross join aclexplode(a.attacl) as x
  left join pg_catalog.pg_roles as r on r.oid = x.grantee
  union all
  select 30, format(
    'grant execute on routine %s to %s',
    p.oid::regprocedure,
    coalesce(quote_ident(r.rolname), 'public')
  )
  from pg_catalog.pg_proc as p
  inner join jobsdb_before.moved as m on m.object_id = p.oid
  cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x
  left join pg_catalog.pg_roles as r on r.oid = x.grantee
  where x.grantee <> p.proowner;

  -- Triggers that would change the new tables: those of the old tables, and those that keep the old
  -- counts, wherever they are. A host's trigger that only plans tasks goes on.
  for v_item in
    select
      t.tgname,
      t.tgrelid::regclass::text as table_name,
      p.oid::regprocedure::text as function_name,
      case t.tgenabled when 'R' then 'enable replica' when 'A' then 'enable always' else 'enable' end
        as enable,
      m.object_id is not null as is_moved
    from pg_catalog.pg_trigger as t
    inner join pg_catalog.pg_class as c on c.oid = t.tgrelid and c.relkind in ('r', 'p')
    inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
    left join jobsdb_before.moved as m on m.object_id = t.tgrelid
    where not t.tgisinternal
      and t.tgenabled <> 'D'
      and (
        m.object_id is not null
        or exists (select from jobsdb_before.moved as f where f.object_id = p.oid)
        or p.prosrc ~* '\mupdate\s+(only\s+)?("?public"?\s*\.\s*)?"?jobs"?\M'
        or p.prosrc ~* (
          '\mrefresh\s+materialized\s+view\s+(concurrently\s+)?'
          || '("?public"?\s*\.\s*)?"?job_metrics"?\M'
        )
      )
    order by t.tgrelid::regclass::text, t.tgname
  loop
    execute format('alter table %s disable trigger %I', v_item.table_name, v_item.tgname);
    insert into jobsdb_before.way_back (place, statement)
    values (
      60, format('alter table %s %s trigger %I', v_item.table_name, v_item.enable, v_item.tgname)
    );
    if not v_item.is_moved then
      insert into jobsdb_before.said (sentence)
      values (
        format(
          'trigger %s of %s is switched off: it calls %s, which kept the old counts',
          v_item.tgname, v_item.table_name, v_item.function_name
        )
      );
    end if;
  end loop;

  -- Links of the host's tables: jobsdb has its own foreign keys.
  for v_item in
    select
      k.conname,
      k.conrelid::regclass::text as table_name,
      pg_catalog.pg_get_constraintdef(k.oid) as definition
    from pg_catalog.pg_constraint as k
    inner join jobsdb_before.moved as m on m.object_id = k.confrelid
    where k.contype = 'f'
      and k.conrelid not in (select o.object_id from jobsdb_before.moved as o)
    order by k.conrelid::regclass::text, k.conname
  loop
    execute format('alter table %s drop constraint %I', v_item.table_name, v_item.conname);
    insert into jobsdb_before.way_back (place, statement)
    values (
      52,
      format(
        'alter table %s add constraint %I %s',
        v_item.table_name, v_item.conname, v_item.definition
      )
    );
    insert into jobsdb_before.said (sentence)
    values (
      format(
        'foreign key %s of %s is replaced by one of jobsdb; it was: %s',
        v_item.conname, v_item.table_name, v_item.definition
      )
    );
  end loop;

  insert into jobsdb_before.said (sentence)
  select format(
    'publication %s goes on publishing jobsdb_before.%s; for the new one: alter publication %I'
    || ' add table public.%I',
    quote_ident(b.pubname), quote_ident(m.old_name), b.pubname, m.old_name
  )
  from pg_catalog.pg_publication_rel as r
  inner join pg_catalog.pg_publication as b on b.oid = r.prpubid
  inner join jobsdb_before.moved as m on m.object_id = r.prrelid
  order by b.pubname, m.old_name;

  -- What goes on by itself, and may surprise.
  insert into jobsdb_before.said (sentence)
  select format(
    'foreign key %s of jobsdb_before.%s goes on holding rows of %s',
    k.conname, m.old_name, k.confrelid::regclass
  )
  from pg_catalog.pg_constraint as k
  inner join jobsdb_before.moved as m on m.object_id = k.conrelid
  where k.contype = 'f'
    and k.confdeltype in ('a', 'r')
    and k.confrelid not in (select o.object_id from jobsdb_before.moved as o)
  order by m.old_name, k.conname;

  insert into jobsdb_before.said (sentence)
  select 'functions that name the old tables act on the new ones from now on: '
    || string_agg(f.name, ', ' order by f.name)
  from (
    select p.oid::regprocedure::text as name
    from pg_catalog.pg_proc as p
    inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname not in ('pg_catalog', 'information_schema', 'jobsdb_before')
      and p.prosrc ~* (
        '\m(from|join|into|update|only)\s+("?public"?\s*\.\s*)?'
        || '"?(jobs|job_tasks|job_metrics)"?\M'
      )
      and p.oid not in (select m.object_id from jobsdb_before.moved as m)
      and not exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
      )
    order by p.oid::regprocedure::text
    limit 20
  ) as f
  having count(*) > 0;

  -- Objects. Types first and routines last, there and back: a routine is named by its arguments.
  for v_item in
    select
      m.kind,
      m.object_id,
      m.old_name,
      m.kind = 'type' and exists (
        select from jobsdb_before.dependents as d
        inner join pg_catalog.pg_type as t on t.oid = m.object_id
        where d.of_object_id in (t.oid, t.typarray)
      ) as stays
    from jobsdb_before.moved as m
    order by m.kind <> 'type', m.kind = 'routine', m.old_name, m.object_id
  loop
    if v_item.stays then
      v_target := v_item.old_name || '_before';
      execute format('alter type public.%I rename to %I', v_item.old_name, v_target);
      insert into jobsdb_before.way_back (place, statement)
      values (22, format('alter type public.%I rename to %I', v_target, v_item.old_name));
      insert into jobsdb_before.said (sentence)
      values (
        format('type public.%s is now public.%s: other tables use it', v_item.old_name, v_target)
      );
    elsif v_item.kind = 'routine' then
      execute format(
        'alter routine %s set schema jobsdb_before', v_item.object_id::regprocedure
      );
      insert into jobsdb_before.way_back (place, statement)
      values (
        20, format('alter routine %s set schema public', v_item.object_id::regprocedure)
      );
    else
      execute format(
        'alter %s public.%I set schema jobsdb_before', v_item.kind, v_item.old_name
      );
      insert into jobsdb_before.way_back (place, statement)
      values (
        case v_item.kind when 'type' then 22 else 21 end,
        format('alter %s jobsdb_before.%I set schema public', v_item.kind, v_item.old_name)
      );
    end if;
  end loop;

  for v_role in
    select 'public'
    union all
    select quote_ident(r.rolname)
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    execute format('revoke all on all tables in schema jobsdb_before from %s', v_role);
    execute format('revoke all on all sequences in schema jobsdb_before from %s', v_role);
    execute format('revoke all on all routines in schema jobsdb_before from %s', v_role);
  end loop;

  -- What the comments of the host's links say will be ours.
  for v_column in
    select
      c.relname,
      a.attname,
      pg_catalog.col_description(c.oid, a.attnum) as comment_before
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace
      and (c.relname, a.attname) in (
        ('kanban_cards', 'job_id'), ('kanban_cards', 'task_id'), ('agent_runs', 'job_id')
      )
  loop
    insert into jobsdb_before.way_back (place, statement)
    values (
      45,
      format(
        'comment on column public.%I.%I is %L',
        v_column.relname, v_column.attname, v_column.comment_before
      )
    );
  end loop;
end;
$$;

drop table jobsdb_before.dependents;
drop table jobsdb_before.parts;
