-- What else hangs on the old objects? They move with their identity, so whatever the catalog knows
-- to depend on them would silently go on with the old rows: it is named and refused, never dropped.
-- Not in the way: triggers of other tables (switched off if they keep counts), the links of the
-- host's two tables (replaced), columns of the old types (these are then renamed in place),
-- publications.
create table jobsdb_before.parts as
select
  m.class_id,
  m.object_id
from jobsdb_before.moved as m
union
select
  'pg_catalog.pg_type'::regclass,
  t.oid
from pg_catalog.pg_type as t
inner join jobsdb_before.moved as m on t.typrelid = m.object_id
union
select
  'pg_catalog.pg_type'::regclass,
  a.oid
from pg_catalog.pg_type as t
inner join pg_catalog.pg_type as a on t.typarray = a.oid
inner join jobsdb_before.moved as m on m.object_id in (t.oid, t.typrelid);

create table jobsdb_before.dependents as
select distinct
  d.classid as class_id,
  d.objid as object_id,
  d.objsubid as column_number,
  p.class_id as of_class_id,
  p.object_id as of_object_id,
  -- The relation it is a part of, if it is one.
  case d.classid
    when 'pg_catalog.pg_class'::regclass
      then coalesce(
        (select i.indrelid from pg_catalog.pg_index as i where i.indexrelid = d.objid), d.objid
      )
    when 'pg_catalog.pg_rewrite'::regclass
      then (select r.ev_class from pg_catalog.pg_rewrite as r where r.oid = d.objid)
    when 'pg_catalog.pg_constraint'::regclass
      then (select k.conrelid from pg_catalog.pg_constraint as k where k.oid = d.objid)
    when 'pg_catalog.pg_trigger'::regclass
      then (select t.tgrelid from pg_catalog.pg_trigger as t where t.oid = d.objid)
    when 'pg_catalog.pg_policy'::regclass
      then (select o.polrelid from pg_catalog.pg_policy as o where o.oid = d.objid)
    when 'pg_catalog.pg_attrdef'::regclass
      then (select f.adrelid from pg_catalog.pg_attrdef as f where f.oid = d.objid)
  end as relation_id
from pg_catalog.pg_depend as d
inner join jobsdb_before.parts as p on d.refclassid = p.class_id and d.refobjid = p.object_id
where d.deptype in ('n', 'a');

-- What moves along, and what may stay as it is.
delete from jobsdb_before.dependents as d
where
  exists (
    select from jobsdb_before.parts as p
    where
      (p.class_id = d.class_id and p.object_id = d.object_id)
      or (p.class_id = 'pg_catalog.pg_class'::regclass and p.object_id = d.relation_id)
  )
  or exists (
    select from pg_catalog.pg_class as s
    inner join pg_catalog.pg_depend as o on s.oid = o.objid and o.deptype in ('a', 'i')
    inner join jobsdb_before.parts as p on o.refobjid = p.object_id
    where s.oid = d.object_id and s.relkind = 'S'
  )
  or d.class_id in (
    'pg_catalog.pg_trigger'::regclass,
    'pg_catalog.pg_publication_rel'::regclass,
    'pg_catalog.pg_statistic_ext'::regclass
  )
  or (
    d.class_id = 'pg_catalog.pg_constraint'::regclass
    and exists (
      select from pg_catalog.pg_constraint as k
      inner join jobsdb_before.parts as p on k.contypid = p.object_id
      where k.oid = d.object_id
    )
  )
  or (
    d.class_id = 'pg_catalog.pg_constraint'::regclass
    and exists (
      select from pg_catalog.pg_constraint as k
      where
        k.oid = d.object_id
        and k.contype = 'f'
        and k.conrelid in (to_regclass('public.kanban_cards'), to_regclass('public.agent_runs'))
        and not exists (
          select from pg_catalog.pg_attribute as a
          where
            a.attrelid = k.conrelid
            and a.attnum = any(k.conkey)
            and a.attname <> all(
              case
                when k.conrelid = to_regclass('public.kanban_cards')
                  then '{job_id,task_id,org_id}'::name[]
                else '{job_id,org_id}'
              end
            )
        )
    )
  );

do $$
declare
  v_problems text;
begin
  with problems as (
    select pg_catalog.pg_describe_object(d.class_id, d.object_id, d.column_number)
      || ' depends on '
      || pg_catalog.pg_describe_object(d.of_class_id, d.of_object_id, 0) as problem
    from jobsdb_before.dependents as d
    where not (
      -- A column of one of the old types: the type is renamed instead.
      d.class_id = 'pg_catalog.pg_class'::regclass
      and d.column_number > 0
      and d.of_class_id = 'pg_catalog.pg_type'::regclass
      and exists (
        select from jobsdb_before.moved as m
        inner join pg_catalog.pg_type as t on t.oid = m.object_id
        where m.kind = 'type' and d.of_object_id in (t.oid, t.typarray)
      )
    )
    union
    select pg_catalog.pg_describe_object(m.class_id, m.object_id, 0) || ' is of an extension'
    from jobsdb_before.moved as m
    inner join pg_catalog.pg_depend as d
      on d.classid = m.class_id and d.objid = m.object_id and d.deptype = 'e'
    union
    select format('table public.%s forces row-level security on its owner', m.old_name)
    from jobsdb_before.moved as m
    inner join pg_catalog.pg_class as c on c.oid = m.object_id
    inner join pg_catalog.pg_roles as r on r.rolname = current_user
    where c.relforcerowsecurity and not (r.rolsuper or r.rolbypassrls)
    union
    select format('column public.%s.%s is not nullable', c.relname, a.attname)
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace
      and (c.relname, a.attname) in (
        ('kanban_cards', 'job_id'), ('kanban_cards', 'task_id'), ('agent_runs', 'job_id')
      )
      and a.attnotnull
    union
    select pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
      || ' depends on column task_id of table public.kanban_cards, which is no bigint'
    from pg_catalog.pg_attribute as a
    inner join pg_catalog.pg_depend as d
      on d.refclassid = 'pg_catalog.pg_class'::regclass
      and d.refobjid = a.attrelid
      and d.refobjsubid = a.attnum
    where a.attrelid = to_regclass('public.kanban_cards')
      and a.attname = 'task_id'
      and a.atttypid <> 'bigint'::regtype
      and d.classid in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass)
  )
  select string_agg(p.problem, '; ' order by p.problem)
  into v_problems
  from problems as p;

  if v_problems is not null then
    raise exception using
      errcode = 'JB092',
      message = 'the old jobs system cannot be moved: something else hangs on it',
      detail = v_problems || '.',
      hint = 'Keep its definition, drop or change it, adopt, and make it again on the new tables;'
        || ' nothing was changed.';
  end if;
end;
$$;
