-- Everything of the old jobs system goes to a schema of its own, with a record of what was done and
-- the statements that would undo it. Nobody but the owner may enter.
do $$
declare
  v_relation text;
  v_role text;
begin
  if to_regnamespace('jobsdb_before') is not null then
    raise exception using
      errcode = 'JB092',
      message = 'schema jobsdb_before exists already',
      detail = 'The old jobs system would go there; another one is kept in it, or it is yours.',
      hint = 'Rename it (alter schema jobsdb_before rename to …) and try again;'
        || ' nothing was changed.';
  end if;

  -- All at once and first of all, in the order in which jobsdb locks: whoever works with the old
  -- tables is finished, or waits and then finds the new ones.
  foreach v_relation in array array['job_tasks', 'kanban_cards', 'agent_runs', 'jobs'] loop
    if exists (
      select from pg_catalog.pg_class as c
      where c.oid = to_regclass('public.' || v_relation) and c.relkind in ('r', 'p')
    ) then
      execute format('lock table public.%I in access exclusive mode', v_relation);
    end if;
  end loop;

  create schema jobsdb_before;
  for v_role in
    select r.rolname
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    execute format('revoke all on schema jobsdb_before from %I', v_role);
  end loop;
  revoke all on schema jobsdb_before from public;
end;
$$;

comment on schema jobsdb_before is
'The jobs system that was here before jobsdb, moved by `jobsdb migrate --adopt`. Read not_adopted for what was left behind, way_back for how to return. Never expose it to PostgREST.';

create table jobsdb_before.moved (
  class_id oid not null,
  object_id oid not null,
  kind text not null,
  old_name text not null,
  constraint moved_pkey primary key (class_id, object_id)
);

create table jobsdb_before.way_back (
  place int not null,
  statement text not null,
  id bigint generated always as identity,
  constraint way_back_pkey primary key (id)
);

create table jobsdb_before.said (
  id bigint generated always as identity,
  sentence text not null,
  constraint said_pkey primary key (id)
);

create table jobsdb_before.not_adopted (
  id bigint generated always as identity,
  entity text not null,
  entity_id text not null,
  job_id uuid,
  reason text not null,
  sqlstate text,
  constraint not_adopted_pkey primary key (id),
  constraint entity_is_known check (entity in ('job', 'task', 'card', 'run'))
);

create table jobsdb_before.quiet_triggers (
  table_name text not null,
  trigger_name name not null,
  enable text not null,
  constraint quiet_triggers_pkey primary key (table_name, trigger_name)
);

comment on table jobsdb_before.moved is
'What was moved here from schema public, by its former name.';
comment on table jobsdb_before.way_back is
'The statements that put the old jobs system back, to be run in order of place, id in one transaction.';
comment on table jobsdb_before.said is
'What `jobsdb migrate --adopt` did beside moving and copying.';
comment on table jobsdb_before.not_adopted is
'Jobs, tasks, and links of cards and runs that did not fit, or were changed, and why. Their rows are in the tables beside this one; links in card_links and run_links.';
comment on table jobsdb_before.quiet_triggers is
'Triggers of the host that were off while links were taken out and put back.';
