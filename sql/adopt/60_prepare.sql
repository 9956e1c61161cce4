-- jobsdb is installed; what follows copies the old rows, job by job, on the legal way: as plain SQL
-- of the owner, through every guard. What is refused is written down and left where it is.
create table jobsdb_before.adopted_jobs (
  place bigint generated always as identity,
  job_id uuid not null,
  status text,
  is_adopted boolean,
  constraint adopted_jobs_pkey primary key (job_id)
);

create table jobsdb_before.task_ids as
select
  t.id as old_id,
  t.job_id,
  null::bigint as new_id,
  false as is_adopted
from jobsdb_before.job_tasks as t;

insert into jobsdb_before.adopted_jobs (job_id, status)
select
  j.id,
  j.status::text
from jobsdb_before.jobs as j
where j.id is not null
order by to_jsonb(j.*) ->> 'created_at', j.id
on conflict do nothing;
create index adopted_jobs_by_place on jobsdb_before.adopted_jobs (place) where is_adopted is null;

-- A whole number stays what it is; any other id gets a new one.
do $$
begin
  if (
    select a.atttypid in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
    from pg_catalog.pg_attribute as a
    where a.attrelid = 'jobsdb_before.task_ids'::regclass and a.attname = 'old_id'
  ) then
    update jobsdb_before.task_ids as i
    set new_id = i.old_id::text::bigint
    where i.new_id is null;
    perform setval(
      pg_catalog.pg_get_serial_sequence('public.job_tasks', 'id'), max(i.new_id)
    )
    from jobsdb_before.task_ids as i
    having max(i.new_id) > 0;
  else
    update jobsdb_before.task_ids as i
    set new_id = nextval(pg_catalog.pg_get_serial_sequence('public.job_tasks', 'id'))
    where i.new_id is null;
    insert into jobsdb_before.said (sentence)
    select 'tasks have new ids: jobsdb_before.task_ids says which'
    where exists (select from jobsdb_before.task_ids);
  end if;
end;
$$;

create index task_ids_by_job on jobsdb_before.task_ids (job_id);
create index task_ids_by_new_id on jobsdb_before.task_ids (new_id);

update jobsdb_before.card_links as l
set target_job_id = coalesce(l.job_id, i.job_id), target_task_id = i.new_id
from jobsdb_before.card_links as o
left join jobsdb_before.task_ids as i on i.old_id::text = o.task_id
where o.id = l.id;

analyze jobsdb_before.task_ids;
analyze jobsdb_before.card_links;
analyze jobsdb_before.run_links;

comment on table jobsdb_before.adopted_jobs is
'The old jobs in the order in which they were copied, and whether jobsdb has taken them.';
comment on table jobsdb_before.task_ids is
'Which old task is which task of jobsdb, and whether it was taken over.';

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'adopted_jobs', 'card_links', 'moved', 'not_adopted', 'quiet_triggers', 'run_links', 'said',
    'task_ids', 'way_back'
  ] loop
    execute format('alter table jobsdb_before.%I enable row level security', v_table);
    execute format(
      'revoke all on jobsdb_before.%I from public, anon, authenticated, service_role', v_table
    );
  end loop;
end;
$$;

create function jobsdb_before.note(
  entity text,
  entity_id text,
  job_id uuid,
  reason text,
  sqlstate text default null
)
returns void
language plpgsql
set search_path to pg_catalog, pg_temp
as $$
begin
  -- Of the moment, such as a full disk: everything is tried again, or nothing is done.
  if jobsdb.is_passing(note.sqlstate) then
    raise exception using errcode = note.sqlstate, message = note.reason;
  end if;
  insert into jobsdb_before.not_adopted (entity, entity_id, job_id, reason, sqlstate)
  values (note.entity, note.entity_id, note.job_id, note.reason, note.sqlstate);
end;
$$;

-- The old tasks of a job, or one of them, and what they are to become. Work that nobody will do any
-- more, in a job that has succeeded, is skipped; that of a failed or cancelled job with its job.
create function jobsdb_before.old_tasks(
  job_id uuid,
  job_status text,
  only_id bigint
)
returns table (new_id bigint, task jsonb, status text, is_over boolean)
language plpgsql
stable
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  select
    i.new_id,
    o.task,
    s.status,
    coalesce(s.status in ('done', 'skipped'), false)
  from jobsdb_before.task_ids as i
  inner join lateral (
    select to_jsonb(t.*) as task from jobsdb_before.job_tasks as t where t.id = i.old_id
  ) as o on true
  cross join lateral (
    select case
      when o.task ->> 'status' in ('pending', 'running') and old_tasks.job_status = 'succeeded'
        then 'skipped'
      when o.task ->> 'status' = 'running' and old_tasks.job_status in ('failed', 'cancelled')
        then 'pending'
      else o.task ->> 'status'
    end as status
  ) as s
  where i.job_id = old_tasks.job_id
    and (old_tasks.only_id is null or i.new_id = old_tasks.only_id);
end;
$$;

-- Times, output and retries are those of the old row. What is over comes first and waits for
-- nothing; the rest then waits for what is really open.
create function jobsdb_before.take_tasks(
  job_id uuid,
  job_status text,
  only_id bigint default null
)
returns void
language plpgsql
set search_path to pg_catalog, pg_temp
as $$
declare
  v_is_over boolean;
begin
  foreach v_is_over in array array[true, false] loop
    insert into public.job_tasks (
      id, job_id, batch, step, kind, input, depends_on, priority, max_retries, scheduled_for,
      retry_count, created_at
    )
    overriding system value
    select
      o.new_id,
      take_tasks.job_id,
      coalesce((o.task ->> 'batch')::int, 0),
      (o.task ->> 'step')::int,
      o.task ->> 'kind',
      coalesce(nullif(o.task -> 'input', 'null'), '{}'),
      case
        when v_is_over or take_tasks.job_status in ('failed', 'cancelled') then '{}'
        when jsonb_typeof(o.task -> 'depends_on') = 'array'
          then array(
            select d.step::int from jsonb_array_elements_text(o.task -> 'depends_on') as d (step)
          )
      end,
      case
        when o.task ->> 'priority' ~ '^-?[0-9]{1,9}$' then (o.task ->> 'priority')::int
        else 0
      end,
      case when o.task ->> 'max_retries' ~ '^[0-9]{1,9}$' then (o.task ->> 'max_retries')::int end,
      (o.task ->> 'scheduled_for')::timestamptz,
      coalesce((o.task ->> 'retry_count')::int, 0),
      coalesce((o.task ->> 'created_at')::timestamptz, now())
    from jobsdb_before.old_tasks(
      take_tasks.job_id, take_tasks.job_status, take_tasks.only_id
    ) as o
    where o.is_over = v_is_over
    order by coalesce((o.task ->> 'batch')::int, 0), (o.task ->> 'step')::int;

    update public.job_tasks as n
    set
      status = o.status,
      started_at = (o.task ->> 'started_at')::timestamptz,
      finished_at = case
        when o.status in ('done', 'error', 'skipped')
          then coalesce(
            o.task ->> 'finished_at',
            o.task ->> 'updated_at',
            o.task ->> 'started_at',
            o.task ->> 'created_at'
          )::timestamptz
      end,
      output = nullif(o.task -> 'output', 'null'),
      error_message = o.task ->> 'error_message'
    from jobsdb_before.old_tasks(
      take_tasks.job_id, take_tasks.job_status, take_tasks.only_id
    ) as o
    where n.id = o.new_id
      and o.is_over = v_is_over
      and (
        o.status is distinct from 'pending'
        or o.task ->> 'output' is not null
        or o.task ->> 'error_message' is not null
      );
  end loop;

  update jobsdb_before.task_ids as i
  set is_adopted = true
  where i.job_id = take_tasks.job_id
    and (take_tasks.only_id is null or i.new_id = take_tasks.only_id);
end;
$$;

-- Linking an approved card is an approval of what it says now, and whoever deploys has not read it:
-- it goes back to a person. So nothing is ever queued for sending by an adoption.
create function jobsdb_before.link_cards(
  job_id uuid,
  job_status text,
  only_card text default null
)
returns void
language plpgsql
set search_path to pg_catalog, pg_temp
as $$
begin
  with linked as (
    update public.kanban_cards as k
    set
      job_id = l.target_job_id,
      task_id = t.id,
      state = case when l.state = 'approved' then 'in_review' else k.state end
    from jobsdb_before.card_links as l
    left join public.job_tasks as t on t.id = l.target_task_id and t.job_id = l.target_job_id
    where l.target_job_id = link_cards.job_id
      and k.id = l.id
      and (link_cards.only_card is null or l.id::text = link_cards.only_card)
      and (link_cards.job_status <> 'succeeded' or l.state in ('rejected', 'done'))
    returning k.id, k.task_id
  ),
  taken as (
    update jobsdb_before.card_links as l
    set is_taken = true
    from linked
    where l.id = linked.id
    returning l.id, l.task_id as old_task_id, l.state, linked.task_id
  )
  insert into jobsdb_before.not_adopted (entity, entity_id, job_id, reason)
  select 'card', n.id::text, link_cards.job_id, r.reason
  from taken as n
  cross join lateral (
    values
    (n.state = 'approved', 'it was approved and is in_review again: a person has to approve it'),
    (
      n.old_task_id is not null and n.task_id is null,
      format(
        'linked to its job only: task %s was not taken over, or is of another job', n.old_task_id
      )
    )
  ) as r (is_so, reason)
  where r.is_so;
end;
$$;

create function jobsdb_before.link_runs(
  job_id uuid,
  only_run text default null
)
returns void
language plpgsql
set search_path to pg_catalog, pg_temp
as $$
begin
  with linked as (
    update public.agent_runs as r
    set job_id = l.job_id
    from jobsdb_before.run_links as l
    where l.job_id = link_runs.job_id
      and r.id = l.id
      and (link_runs.only_run is null or l.id::text = link_runs.only_run)
    returning r.id
  )
  update jobsdb_before.run_links as l
  set is_taken = true
  from linked
  where l.id = linked.id;
end;
$$;

-- One job with all that hangs on it: at once, or, when something is refused, piece by piece.
create function jobsdb_before.take_job(
  job_id uuid
)
returns void
language plpgsql
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job jsonb;
  v_status text;
  v_item record;
begin
  select to_jsonb(j.*)
  into v_job
  from jobsdb_before.jobs as j
  where j.id = take_job.job_id;
  v_status := v_job ->> 'status';
  if v_status is null
    or v_status not in ('pending', 'running', 'succeeded', 'failed', 'cancelled') then
    raise exception using
      errcode = 'JB001',
      message = format('"%s" is no status of a job', coalesce(v_status, 'null'));
  end if;

  insert into public.jobs (
    id, org_id, name, description, params, created_by, created_at, started_at
  )
  values (
    take_job.job_id,
    (v_job ->> 'org_id')::uuid,
    v_job ->> 'name',
    v_job ->> 'description',
    coalesce(nullif(v_job -> 'params', 'null'), '{}'),
    case when v_job ->> 'created_by' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      then (v_job ->> 'created_by')::uuid
    end,
    coalesce((v_job ->> 'created_at')::timestamptz, now()),
    case
      when v_status = 'cancelled' then (v_job ->> 'started_at')::timestamptz
      when v_status <> 'pending'
        then coalesce(v_job ->> 'started_at', v_job ->> 'created_at')::timestamptz
    end
  );

  begin
    perform jobsdb_before.take_tasks(take_job.job_id, v_status);
  exception
    when others then
      if jobsdb.is_passing(sqlstate) then
        raise;
      end if;
      for v_item in
        select i.old_id::text as old_id, i.new_id
        from jobsdb_before.task_ids as i
        inner join jobsdb_before.job_tasks as t on t.id = i.old_id
        where i.job_id = take_job.job_id
        order by (to_jsonb(t.*) ->> 'batch')::int, t.step
      loop
        begin
          perform jobsdb_before.take_tasks(take_job.job_id, v_status, v_item.new_id);
        exception
          when others then
            perform jobsdb_before.note('task', v_item.old_id, take_job.job_id, sqlerrm, sqlstate);
        end;
      end loop;
  end;
  insert into jobsdb_before.not_adopted (entity, entity_id, job_id, reason)
  select
    'task', t.id::text, take_job.job_id,
    format('it was %s, and is skipped: its job had succeeded', t.status)
  from jobsdb_before.job_tasks as t
  inner join jobsdb_before.task_ids as i on i.old_id = t.id and i.is_adopted
  where i.job_id = take_job.job_id
    and v_status = 'succeeded'
    and t.status::text in ('pending', 'running');

  begin
    perform jobsdb_before.link_cards(take_job.job_id, v_status);
  exception
    when others then
      if jobsdb.is_passing(sqlstate) then
        raise;
      end if;
      for v_item in
        select l.id::text as card_id
        from jobsdb_before.card_links as l
        where l.target_job_id = take_job.job_id
      loop
        begin
          perform jobsdb_before.link_cards(take_job.job_id, v_status, v_item.card_id);
        exception
          when others then
            perform jobsdb_before.note('card', v_item.card_id, take_job.job_id, sqlerrm, sqlstate);
        end;
      end loop;
  end;
  begin
    perform jobsdb_before.link_runs(take_job.job_id);
  exception
    when others then
      if jobsdb.is_passing(sqlstate) then
        raise;
      end if;
      for v_item in
        select l.id::text as run_id
        from jobsdb_before.run_links as l
        where l.job_id = take_job.job_id
      loop
        begin
          perform jobsdb_before.link_runs(take_job.job_id, v_item.run_id);
        exception
          when others then
            perform jobsdb_before.note('run', v_item.run_id, take_job.job_id, sqlerrm, sqlstate);
        end;
      end loop;
  end;

  if v_status in ('running', 'succeeded', 'failed') then
    update public.jobs as j
    set status = 'running'
    where j.id = take_job.job_id;
  end if;
  if v_status in ('succeeded', 'failed', 'cancelled') then
    update public.jobs as j
    set
      status = v_status,
      finished_at = coalesce(
        v_job ->> 'finished_at', v_job ->> 'updated_at', v_job ->> 'created_at'
      )::timestamptz
    where j.id = take_job.job_id;
  end if;
  if v_status in ('pending', 'running') and v_job ->> 'paused_at' is not null then
    update public.jobs as j
    set paused_at = (v_job ->> 'paused_at')::timestamptz
    where j.id = take_job.job_id;
  end if;
end;
$$;

-- Plans made while the tables are empty would be kept for the whole copy, and read all jobs of an
-- organisation to find one: no sequential scans, and new statistics for ten times as many jobs.
create function jobsdb_before.take_jobs(
  max_jobs int
)
returns int
language plpgsql
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
declare
  v_job_id uuid;
  v_place bigint;
  v_taken int := 0;
begin
  for v_job_id, v_place in
    select a.job_id, a.place
    from jobsdb_before.adopted_jobs as a
    where a.is_adopted is null
    order by a.place
    limit take_jobs.max_jobs
  loop
    v_taken := v_taken + 1;
    begin
      perform jobsdb_before.take_job(v_job_id);
      update jobsdb_before.adopted_jobs as a
      set is_adopted = true
      where a.job_id = v_job_id;
    exception
      when others then
        perform jobsdb_before.note('job', v_job_id::text, v_job_id, sqlerrm, sqlstate);
        update jobsdb_before.adopted_jobs as a
        set is_adopted = false
        where a.job_id = v_job_id;
    end;
    if v_place in (3, 30, 300, 3000, 30000, 300000) then
      analyze public.jobs, public.job_tasks, public.kanban_cards;
    end if;
  end loop;
  -- What is done at commit, counting above all, is done now: nothing piles up.
  set constraints all immediate;
  set constraints all deferred;
  return v_taken;
end;
$$;
