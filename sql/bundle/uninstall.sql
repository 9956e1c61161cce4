-- jobsdb uninstall, release @RELEASE@
-- Written by `jobsdb bundle --uninstall`; do not edit it, write it again.
--
-- Takes jobsdb out of a database: run it as the role that installed it, by psql -f or in an SQL
-- editor. It is one statement: done as a whole or not at all.
--
--   Refused while there are jobs, contacts, sends, reviews: it counts them and says how to delete
--   them. Refused when something that is not ours stands on ours: it is named, nothing is cascaded.
--   kanban_cards and agent_runs keep all their rows. Of a host's own tables go the triggers,
--   constraints, indexes and the columns job_id and task_id that jobsdb added to them (their values
--   went with the jobs). A table that jobsdb made goes when it is empty; with rows it stays, with
--   row-level security on and without the policies for tenants, which asked jobsdb who belongs to
--   whom. Roles stay: they belong to the whole server. Schema auth and auth.uid() go where jobsdb
--   made them and nothing uses them; with it goes what was granted on a schema auth of the host.
--   After `supabase db push`, also: supabase migration repair --status reverted, with the numbers
--   of its files.
do $jobsdb_uninstall$
declare
  v_files constant text[] := array[
@FILES@
  ];
  v_sha256 constant text[] := array[
@HASHES@
  ];
  -- Its objects, as `jobsdb verify` names them.
  v_relations constant text[] := array[
@RELATIONS@
  ];
  v_types constant text[] := array[
@TYPES@
  ];
  v_functions constant text[] := array[
@FUNCTIONS@
  ];
  v_parts constant text[] := array[
@PARTS@
  ];
  -- What these hold comes with the installation or follows from other tables.
  v_not_data constant text[] := array[
    'jobsdb.host_tables', 'jobsdb.job_deltas', 'jobsdb.ledger', 'jobsdb.metrics_refresh',
    'jobsdb.task_kinds', 'jobsdb.task_moves', 'jobsdb.task_rollups',
    'jobsdb.transitions'
  ];
  v_path text;
  v_found record;
  v_rows bigint;
  v_some boolean;
  v_counts text[] := '{}';
  v_full text[] := '{}';
  v_strangers text;
  v_kept text[] := '{}';
  v_drop text;
  v_drops text[];
  v_stuck text[];
  v_details text;
  v_detail text;
  v_granted text;
begin
  v_path := pg_catalog.current_setting('search_path');
  perform pg_catalog.set_config('search_path', '', true);
  perform set_config('quote_all_identifiers', 'off', true);
  perform set_config('row_security', 'off', true);
  perform set_config('lock_timeout', '60s', true);
  perform pg_advisory_xact_lock(@LOCK@);
  perform set_config('lock_timeout', '5s', true);

  if to_regclass('jobsdb.ledger') is null then
    perform set_config('search_path', v_path, true);
    raise notice 'jobsdb: it is not installed here, nothing to do';
    return;
  end if;

  -- This file knows the objects of one release only.
  select string_agg(l.file, ', ' order by l.file)
  into v_detail
  from (
    select distinct on (e.file) e.file, e.sha256 from jobsdb.ledger as e order by e.file, e.seq desc
  ) as l
  left join unnest(v_files, v_sha256) as f (file, sha256) on f.file = l.file
  where (f.file is null and l.file like 'migrations/%') or f.sha256 <> l.sha256;
  if v_detail is not null then
    raise exception using
      errcode = 'JB090',
      message = 'this file is of another release than what is installed',
      detail = format('It is of @RELEASE@; otherwise in the database: %s.', v_detail),
      hint = 'Write it with the release that is installed (`jobsdb status`), or run `jobsdb migrate`'
        || ' of this one first.';
  end if;

  -- Nobody may write from here on. Locks in the order in which everybody takes them, jobs last.
  for v_found in
    select c.oid::regclass as name
    from pg_class as c
    where c.relkind = 'r'
      and c.oid::regclass::text = any(v_relations)
    order by
      case c.oid::regclass::text
        when 'public.job_tasks' then 1 when 'public.kanban_cards' then 2
        when 'public.agent_runs' then 3 when 'jobsdb.sends' then 4 when 'public.jobs' then 5
        else 6
      end,
      c.oid::regclass::text
  loop
    execute format('lock table %s in access exclusive mode', v_found.name);
  end loop;

  for v_found in
    select c.oid::regclass::text as name
    from pg_class as c
    where c.relkind = 'r'
      and c.oid::regclass::text = any(v_relations)
      and not c.oid::regclass::text = any(v_not_data || '{public.kanban_cards,public.agent_runs}')
    order by 1
  loop
    execute format('select count(*) from %s', v_found.name) into v_rows;
    if v_rows > 0 then
      v_counts := v_counts || format('%s %s', v_found.name, v_rows);
      if v_found.name like 'jobsdb.%' then
        v_full := v_full || v_found.name;
      end if;
    end if;
  end loop;
  if v_counts <> '{}' then
    raise exception using
      errcode = 'JB090',
      message = 'jobsdb cannot be uninstalled while it holds data',
      detail = format('Rows: %s.', array_to_string(v_counts, ', ')),
      hint = 'Export what you keep: pg_dump --table=''jobsdb.*'' --table=public.jobs'
        || ' --table=public.job_tasks. Then delete it: delete from public.jobs;'
        || case when v_full <> '{}'
          then format(' truncate %s;', array_to_string(v_full, ', ')) else '' end
        || ' (never truncate public.jobs cascade, which would empty kanban_cards too).';
  end if;

  -- The host's tables: what was added to them goes, and so do ours when they are empty.
  for v_found in
    select c.oid, c.oid::regclass as name, h.table_name, h.made_by_jobsdb
    from jobsdb.host_tables as h
    inner join pg_class as c on c.oid = to_regclass('public.' || quote_ident(h.table_name))
    order by h.table_name desc
  loop
    execute format('select exists (select from %s)', v_found.name) into v_some;
    if v_found.made_by_jobsdb and not v_some then
      continue;
    end if;
    v_kept := v_kept || v_found.name::text;
    for v_drop in
      select format('drop trigger %I on %s', t.tgname, v_found.name)
      from pg_trigger as t
      where t.tgrelid = v_found.oid and not t.tgisinternal and starts_with(t.tgname, 'jobsdb_')
      union all
      select format('alter table %s drop constraint %I', v_found.name, c.conname)
      from pg_constraint as c
      where c.conrelid = v_found.oid and starts_with(c.conname, 'jobsdb_')
      union all
      select format('drop index %s', i.indexrelid::regclass)
      from pg_index as i
      inner join pg_class as c on c.oid = i.indexrelid
      where i.indrelid = v_found.oid
        and starts_with(c.relname, 'jobsdb_')
        and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
      union all
      select format('drop policy %I on %s', p.polname, v_found.name)
      from pg_policy as p
      where p.polrelid = v_found.oid
        and v_found.made_by_jobsdb
        and starts_with(p.polname, 'tenant_')
        and format('%s.%I', v_found.name, p.polname) = any(v_parts)
    loop
      execute v_drop;
    end loop;
    if v_found.made_by_jobsdb then
      execute format(
        'comment on table %s is %L',
        v_found.name,
        'It came with jobsdb, which was uninstalled; now it is a table of the host.'
      );
    end if;
    for v_drop in
      select case
        when col_description(a.attrelid, a.attnum) like '%(added by jobsdb).'
          then format('alter table %s drop column %I', v_found.name, a.attname)
        else format('comment on column %s.%I is null', v_found.name, a.attname)
      end
      from pg_attribute as a
      where a.attrelid = v_found.oid
        and a.attname in ('job_id', 'task_id')
        and not a.attisdropped
        and col_description(a.attrelid, a.attnum) ~ '[(](added|used) by jobsdb[)][.]$'
    loop
      begin
        execute v_drop;
      exception
        when dependent_objects_still_exist then
          get stacked diagnostics v_detail = pg_exception_detail;
          v_strangers := concat_ws(', ', v_strangers, replace(v_detail, E'\n', ', '));
      end;
    end loop;
  end loop;

  -- Whoever stands on ours is named: what depends on it, what was put into its schema, what was hung
  -- on its tables.
  with relations as (
    select c.oid, c.reltype
    from pg_class as c
    where c.oid::regclass::text = any(v_relations)
      and not c.oid::regclass::text = any(v_kept)
      and c.relkind in ('r', 'v', 'm', 'S')
  ),
  types as (
    select t.oid, t.typarray, t.typrelid
    from pg_type as t
    where format_type(t.oid, null) = any(v_types) or t.oid in (select r.reltype from relations as r)
  ),
  ours (classid, objid) as (
    select 'pg_class'::regclass::oid, r.oid from relations as r
    union all
    select 'pg_class'::regclass, t.typrelid from types as t where t.typrelid <> 0
    union all
    select 'pg_type'::regclass, u.oid from types as t, unnest(array[t.oid, t.typarray]) as u (oid)
    union all
    select 'pg_proc'::regclass, p.oid from pg_proc as p
    where p.oid::regprocedure::text = any(v_functions)
    union all
    select 'pg_namespace'::regclass, n.oid from pg_namespace as n where n.nspname = 'jobsdb'
  ),
  dependents as (
    select distinct
      d.classid,
      d.objid,
      d.objsubid,
      coalesce(
        rw.ev_class, nullif(co.conrelid, 0), nullif(co.contypid, 0), tg.tgrelid, po.polrelid,
        ad.adrelid, ix.indrelid
      ) as holder
    from pg_depend as d
    inner join ours as o on o.classid = d.refclassid and o.objid = d.refobjid
    left join pg_rewrite as rw on d.classid = 'pg_rewrite'::regclass and rw.oid = d.objid
    left join pg_constraint as co on d.classid = 'pg_constraint'::regclass and co.oid = d.objid
    left join pg_trigger as tg on d.classid = 'pg_trigger'::regclass and tg.oid = d.objid
    left join pg_policy as po on d.classid = 'pg_policy'::regclass and po.oid = d.objid
    left join pg_attrdef as ad on d.classid = 'pg_attrdef'::regclass and ad.oid = d.objid
    left join pg_index as ix on d.classid = 'pg_class'::regclass and ix.indexrelid = d.objid
    where not exists (
      select from ours as s where s.classid = d.classid and s.objid = d.objid
    )
      and not exists (
        select from pg_class as c
        where d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 't'
      )
  ),
  hung_on (name, classid, objid) as (
    select format('%s.%I', t.tgrelid::regclass, t.tgname), 'pg_trigger'::regclass, t.oid
    from pg_trigger as t
    where not t.tgisinternal and t.tgrelid in (select r.oid from relations as r)
    union all
    select format('%s.%I', p.polrelid::regclass, p.polname), 'pg_policy'::regclass, p.oid
    from pg_policy as p
    where p.polrelid in (select r.oid from relations as r)
    union all
    select format('%s.%I', c.conrelid::regclass, c.conname), 'pg_constraint'::regclass, c.oid
    from pg_constraint as c
    where c.conrelid in (select r.oid from relations as r) and c.contype not in ('n', 't')
    union all
    select format('%s.%I', i.indrelid::regclass, c.relname), 'pg_class'::regclass, c.oid
    from pg_index as i
    inner join pg_class as c on c.oid = i.indexrelid
    where i.indrelid in (select r.oid from relations as r)
      and not exists (select from pg_constraint as k where k.conindid = c.oid)
  ),
  strangers as (
    select pg_describe_object(d.classid, d.objid, d.objsubid) as name
    from dependents as d
    where d.holder is null or d.holder not in (select o.objid from ours as o)
    union
    select pg_describe_object(h.classid, h.objid, 0)
    from hung_on as h
    where not h.name = any(v_parts)
  )
  select concat_ws(', ', v_strangers, string_agg(s.name, ', ' order by s.name))
  into v_strangers
  from strangers as s;
  if v_strangers <> '' then
    raise exception using
      errcode = 'JB092',
      message = 'objects that are not ours depend on jobsdb',
      detail = format('Found: %s.', v_strangers),
      hint = 'Drop or change them first; nothing was changed.';
  end if;

  -- What hangs between two tables first, then everything else; who is still needed waits its turn.
  for v_drop in
    select format('drop policy %I on %s', p.polname, p.polrelid::regclass)
    from pg_policy as p
    where p.polrelid::regclass::text = any(v_relations)
      and not p.polrelid::regclass::text = any(v_kept)
    union all
    select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
    from pg_trigger as t
    where not t.tgisinternal
      and t.tgrelid::regclass::text = any(v_relations)
      and not t.tgrelid::regclass::text = any(v_kept)
    union all
    select format('alter table %s drop constraint %I', c.conrelid::regclass, c.conname)
    from pg_constraint as c
    where c.contype = 'f'
      and c.conrelid::regclass::text = any(v_relations)
      and not c.conrelid::regclass::text = any(v_kept)
  loop
    execute v_drop;
  end loop;
  v_drops := array(
    select o.statement
    from (
      select
        1,
        format(
          'drop %s %s',
          case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
            when 'S' then 'sequence' else 'table' end,
          c.oid::regclass
        )
      from pg_class as c
      where c.oid::regclass::text = any(v_relations)
        and not c.oid::regclass::text = any(v_kept)
        and c.relkind in ('r', 'v', 'm', 'S')
        and not exists (
          select from pg_depend as d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid
            and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
        )
      union all
      select 2, format('drop function %s', p.oid::regprocedure)
      from pg_proc as p
      where p.oid::regprocedure::text = any(v_functions)
      union all
      select
        3,
        format('drop %s %s', case t.typtype when 'd' then 'domain' else 'type' end, t.oid::regtype)
      from pg_type as t
      where t.typtype in ('c', 'd', 'e', 'r') and format_type(t.oid, null) = any(v_types)
    ) as o (place, statement)
    order by o.place, o.statement
  );
  while cardinality(v_drops) > 0 loop
    v_stuck := '{}';
    foreach v_drop in array v_drops loop
      begin
        execute v_drop;
      exception
        when dependent_objects_still_exist then
          get stacked diagnostics v_details = pg_exception_detail;
          v_stuck := v_stuck || v_drop;
      end;
    end loop;
    if cardinality(v_stuck) = cardinality(v_drops) then
      raise exception using
        errcode = 'JB092',
        message = 'objects that are not ours depend on jobsdb',
        detail = v_details,
        hint = 'Drop or change them first; nothing was changed.';
    end if;
    v_drops := v_stuck;
  end loop;
  drop schema jobsdb;

  -- The identity of the caller, where jobsdb made it and nothing of the host has come to need it.
  if obj_description(to_regprocedure('auth.uid()'), 'pg_proc') like '%made by jobsdb%'
    and not exists (
      select from pg_proc as p
      where p.prosrc ~ 'auth[.]uid' and p.oid <> to_regprocedure('auth.uid()')
    ) then
    select string_agg(r.rolname, ', ')
    into v_granted
    from pg_roles as r
    where r.rolname = any(string_to_array(
      substring(
        obj_description(to_regprocedure('auth.uid()'), 'pg_proc') from 'was granted to (.*)[.]$'
      ),
      ', '
    ));
    begin
      drop function auth.uid();
      if obj_description(to_regnamespace('auth'), 'pg_namespace') like '%made by jobsdb%' then
        drop schema auth;
      elsif v_granted is not null then
        execute format('revoke usage on schema auth from %s', v_granted);
      end if;
    exception
      when dependent_objects_still_exist then
        null;  -- it stays
    end;
  end if;

  notify pgrst, 'reload schema';
  perform set_config('search_path', v_path, true);
  raise notice using
    message = 'jobsdb: it is uninstalled',
    hint = pg_catalog.concat_ws(
      ' ',
      case when v_kept <> '{}' then
        'Kept, with all rows: ' || pg_catalog.array_to_string(v_kept, ', ') || '.'
      end,
      case when pg_catalog.to_regprocedure('auth.uid()') is not null then
        'auth.uid() is kept.'
      end,
      'The roles anon, authenticated and service_role are kept: they belong to the whole server.'
    );
end;
$jobsdb_uninstall$;
