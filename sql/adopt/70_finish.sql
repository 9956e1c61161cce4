-- The last of it: links that lead nowhere are named, the host's triggers are on again, the way back
-- is complete, and the metrics know the jobs.
insert into jobsdb_before.not_adopted (entity, entity_id, job_id, reason)
select
  'card' as entity,
  l.id::text as entity_id,
  l.target_job_id as job_id,
  case
    when a.is_adopted and l.state not in ('rejected', 'done')
      then format('not linked any more: it is %s, and its job has succeeded', l.state)
    when a.is_adopted then 'not linked any more: there is no such card of the job''s organisation'
    else 'not linked any more: its job was not taken over'
  end as reason
from jobsdb_before.card_links as l
left join jobsdb_before.adopted_jobs as a on l.target_job_id = a.job_id
where
  not l.is_taken
  and not exists (
    select from jobsdb_before.not_adopted as n where n.entity = 'card' and n.entity_id = l.id::text
  )
union all
select
  'run' as entity,
  l.id::text as entity_id,
  l.job_id,
  'not linked any more: its job was not taken over' as reason
from jobsdb_before.run_links as l
where
  not l.is_taken
  and not exists (
    select from jobsdb_before.not_adopted as n where n.entity = 'run' and n.entity_id = l.id::text
  );

insert into jobsdb_before.not_adopted (entity, entity_id, job_id, reason)
select
  'task' as entity,
  i.old_id::text as entity_id,
  i.job_id,
  'there is no such job' as reason
from jobsdb_before.task_ids as i
where not exists (select from jobsdb_before.adopted_jobs as a where a.job_id = i.job_id);

insert into jobsdb_before.said (sentence)
select
  format(
    '%s tasks run by plain SQL, without a lease: end them, or let others have them'
    || ' (update job_tasks set status = ''pending'' …)',
    count(*)
  )
from public.job_tasks as t
where t.status = 'running'
having count(*) > 0;

do $$
declare
  v_trigger record;
begin
  for v_trigger in
    select q.table_name, q.trigger_name, q.enable
    from jobsdb_before.quiet_triggers as q
  loop
    execute format(
      'alter table %s %s trigger %I',
      v_trigger.table_name, v_trigger.enable, v_trigger.trigger_name
    );
  end loop;
end;
$$;

insert into jobsdb_before.way_back (place, statement)
values
(
  10,
  $way$do $back$
declare
  v_item record;
  v_is_used boolean;
begin
  -- The host's tables lose what begins with jobsdb_.
  for v_item in
    select t.tgrelid::regclass as table_name, t.tgname
    from pg_trigger as t
    where t.tgrelid in (to_regclass('public.kanban_cards'), to_regclass('public.agent_runs'))
      and not t.tgisinternal
      and starts_with(t.tgname::text, 'jobsdb_')
  loop
    execute format('drop trigger %I on %s', v_item.tgname, v_item.table_name);
  end loop;
  for v_item in
    select k.conrelid::regclass as table_name, k.conname
    from pg_constraint as k
    where k.conrelid in (to_regclass('public.kanban_cards'), to_regclass('public.agent_runs'))
      and starts_with(k.conname::text, 'jobsdb_')
  loop
    execute format('alter table %s drop constraint %I', v_item.table_name, v_item.conname);
  end loop;
  drop index if exists
    public.jobsdb_cards_of_job, public.jobsdb_cards_of_task, public.jobsdb_runs_of_job;
  -- Tables the host did not have are kept when there is something in them.
  for v_item in
    select h.table_name from jobsdb.host_tables as h where h.made_by_jobsdb
  loop
    execute format('select exists (select from public.%I)', v_item.table_name) into v_is_used;
    if not v_is_used then
      execute format('drop table public.%I', v_item.table_name);
    end if;
  end loop;
  drop schema jobsdb cascade;
  drop view if exists
    public.job_metrics, public.job_metrics_live, public.job_performance_summary,
    public.recent_job_activity, public.review_queue cascade;
  for v_item in
    select p.oid::regprocedure as name
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace
      and obj_description(p.oid, 'pg_proc') like '%Source:  sql/functions/%'
  loop
    execute format('drop function if exists %s cascade', v_item.name);
  end loop;
  drop table public.job_tasks, public.jobs cascade;
  drop domain public.job_status, public.task_status;
end
$back$$way$
),
(
  90,
  'drop table jobsdb_before.moved, jobsdb_before.way_back, jobsdb_before.said,'
  || ' jobsdb_before.not_adopted, jobsdb_before.quiet_triggers, jobsdb_before.card_links,'
  || ' jobsdb_before.run_links, jobsdb_before.adopted_jobs, jobsdb_before.task_ids'
),
(91, 'drop schema jobsdb_before');

-- The host's triggers do not see the links return either.
insert into jobsdb_before.way_back (place, statement)
select
  40 as place,
  format('alter table %s disable trigger %I', q.table_name, q.trigger_name) as statement
from jobsdb_before.quiet_triggers as q
union all
select
  53 as place,
  format('alter table %s %s trigger %I', q.table_name, q.enable, q.trigger_name) as statement
from jobsdb_before.quiet_triggers as q;

-- Every job is measured, and nothing of the copying is left but its record.
set local enable_seqscan = off;
analyze public.jobs, public.job_tasks, public.kanban_cards, jobsdb.task_moves;
select public.refresh_job_metrics();
set local enable_seqscan to default;
drop function jobsdb_before.take_jobs(int);
drop function jobsdb_before.take_job(uuid);
drop function jobsdb_before.link_runs(uuid, text);
drop function jobsdb_before.link_cards(uuid, text, text);
drop function jobsdb_before.take_tasks(uuid, text, bigint);
drop function jobsdb_before.old_tasks(uuid, text, bigint);
drop function jobsdb_before.note(text, text, uuid, text, text);
