-- bundle 1
-- The one call of a busy worker: one commit, and so one flush, instead of two. claim_tasks and
-- complete_tasks are its halves. One task is the common case and is written out here, in four
-- statements, or five when its kind is not given; everything else is left to jobsdb.complete_many
-- and jobsdb.claim_in_turn.
-- A plan that fits all arguments is kept: planning each call anew would cost more than the call.
-- Completed first: whoever completes may wait for a moment, whoever claims never does, so two of
-- these cannot wait for each other.
create or replace function public.complete_and_claim(
  task_ids bigint[],
  lease_token uuid,
  outputs jsonb[],
  worker text,
  max_tasks int default 1,
  kinds text[] default null,
  org_id uuid default null,
  lease interval default '1 minute',
  run_id uuid default null
)
returns setof jobsdb.claimed_task
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set plan_cache_mode to force_generic_plan
as $$
#variable_conflict use_column
declare
  v_verdicts text[] := '{}';
  v_done record;
  v_has_deltas boolean;
  v_lease_job_id uuid;
  v_is_noted boolean := false;
  v_token uuid;
  v_until timestamptz;
  v_seed bigint;
  v_kind text;
  v_task jobsdb.claimed_task;
begin
  -- Complete.
  if pg_column_size(complete_and_claim.outputs) >= 300 then
    perform jobsdb.check_document('output', o.output)
    from unnest(complete_and_claim.outputs) as o (output)
    where pg_column_size(o.output) >= 300;
  end if;
  if array_dims(complete_and_claim.task_ids) = '[1:1]'
    and coalesce(
      array_dims(complete_and_claim.outputs) = '[1:1]', complete_and_claim.outputs is null
    ) then
    update public.job_tasks as t
    set
      status = 'done',
      finished_at = now(),
      lease_expires_at = null,
      lease_token = null,
      locked_by = null,
      output = complete_and_claim.outputs[1],
      rev = t.rev + 1
    where t.id = complete_and_claim.task_ids[1]
      and t.status = 'running'
      and t.lease_token = complete_and_claim.lease_token
      and exists (select from jobsdb.runnable_jobs as r where r.job_id = t.job_id)
    returning
      t.job_id,
      t.org_id,
      t.batch,
      t.step,
      -- By the order of the index: however many wait for one step, only one is read.
      t.step = (
        select w.waits_on
        from public.job_tasks as w
        where w.job_id = t.job_id and w.batch = t.batch and w.waits_on >= t.step
        order by w.waits_on
        limit 1
      ) as is_awaited
    into v_done;
    if found then
      v_verdicts := '{ok}';
      insert into jobsdb.task_moves (job_id, org_id, task_id, done)
      values (v_done.job_id, v_done.org_id, complete_and_claim.task_ids[1], 1);
      -- A token of version 4 is of a lease of one task, which has ended with it.
      if get_byte(uuid_send(complete_and_claim.lease_token), 6) >> 4 = 4 then
        v_lease_job_id := v_done.job_id;
      end if;
      if current_setting('transaction_isolation') = 'read committed' then
        update public.jobs as j
        set tasks_done = j.tasks_done + 1, updated_at = now()
        where j.ctid = (
          select b.ctid
          from public.jobs as b
          where b.id = v_done.job_id and b.status in ('pending', 'running')
          for no key update skip locked
        )
        returning exists (select from jobsdb.job_deltas as d where d.job_id = j.id)
        into v_has_deltas;
        if not found then
          insert into jobsdb.job_deltas (job_id, org_id, tasks_done)
          values (v_done.job_id, v_done.org_id, 1);
        elsif v_has_deltas then
          perform jobsdb.fold_job(v_done.job_id);
        end if;
      else
        perform jobsdb.count_tasks(v_done.job_id, v_done.org_id, 0, 1, 0);
      end if;
      if v_done.is_awaited then
        perform jobsdb.end_step(v_done.job_id, v_done.org_id, v_done.batch, v_done.step);
      end if;
    end if;
  end if;
  if v_verdicts = '{}' and (complete_and_claim.task_ids <> '{}') is not false then
    v_verdicts := jobsdb.complete_many(
      complete_and_claim.task_ids, complete_and_claim.lease_token, complete_and_claim.outputs
    );
  end if;

  -- Claim. max_tasks 0 is complete_tasks.
  if (
    length(complete_and_claim.worker) between 1 and 200
    and complete_and_claim.max_tasks between 0 and 10000
    and complete_and_claim.lease > '0'
    and complete_and_claim.lease <= '1 day'
    and cardinality(complete_and_claim.kinds) is distinct from 0
  ) is not true then
    perform jobsdb.refuse_claim(
      complete_and_claim.worker,
      complete_and_claim.max_tasks,
      complete_and_claim.kinds,
      complete_and_claim.lease
    );
  end if;

  -- Now and then, so that expired leases and due tasks do not starve behind a queue that never
  -- ends; otherwise whoever finds nothing looks after them.
  if random() < 0.01 then
    perform jobsdb.look_after_tasks(10);
  end if;

  if complete_and_claim.max_tasks = 1 and complete_and_claim.run_id is null then
    v_until := clock_timestamp() + complete_and_claim.lease;
    v_seed := (random() * 9e15)::bigint;
    if cardinality(complete_and_claim.kinds) = 1 then
      v_kind := complete_and_claim.kinds[1];
    else
      v_kind := (
        select k.ready[1]
        from (
          select r.job_id, r.marks
          from jobsdb.runnable_jobs as r
          where complete_and_claim.org_id is null or r.org_id = complete_and_claim.org_id
          order by uuid_hash_extended(r.org_id, v_seed), uuid_hash_extended(r.job_id, v_seed)
        ) as r
        cross join lateral jobsdb.ready_kinds(
          r.job_id, complete_and_claim.kinds, r.marks
        ) as k (ready)
        where k.ready <> '{}'
        limit 1
      );
    end if;
    -- Whose only task has just been completed: no stale copy of the token can exist.
    v_token := case
      when v_lease_job_id is null then gen_random_uuid()
      else complete_and_claim.lease_token
    end;
    -- An organisation with limits ends the search, so that its turn is not lost: limits are kept in
    -- jobsdb.claim_in_turn.
    update public.job_tasks as t
    set
      status = 'running',
      pos = null,
      started_at = now(),
      lease_expires_at = v_until,
      lease_token = v_token,
      locked_by = complete_and_claim.worker,
      attempt = t.attempt + 1,
      rev = t.rev + 1
    where t.ctid = (
      select n.ctid
      from (
        select r.job_id, r.is_limited, r.marks
        from jobsdb.runnable_jobs as r
        where complete_and_claim.org_id is null or r.org_id = complete_and_claim.org_id
        order by uuid_hash_extended(r.org_id, v_seed), uuid_hash_extended(r.job_id, v_seed)
      ) as r
      left join lateral (
        select c.ctid
        from public.job_tasks as c
        where not r.is_limited
          and c.job_id = r.job_id
          and c.kind = v_kind
          and c.pos >= coalesce((r.marks ->> v_kind)::bigint, -9223372036854775808)
        order by c.pos
        limit 1
        for no key update skip locked
      ) as n on true
      where n.ctid is not null or r.is_limited
      limit 1
    )
    returning
      t.id,
      t.job_id,
      t.org_id,
      t.batch,
      t.step,
      t.kind,
      t.input,
      t.attempt,
      t.retry_count,
      t.lease_token,
      t.lease_expires_at,
      v_verdicts
    into v_task;
    if found then
      if v_task.job_id = v_lease_job_id then
        update jobsdb.leases as l
        set task_ids = array[v_task.id], look_at = v_until
        where l.job_id = v_lease_job_id and l.token = v_token;
        v_is_noted := found;
        v_lease_job_id := null;
      end if;
      if not v_is_noted then
        insert into jobsdb.leases (job_id, org_id, token, look_at, task_ids)
        values (v_task.job_id, v_task.org_id, v_token, v_until, array[v_task.id]);
      end if;
      if random() < 0.005 then
        perform jobsdb.move_mark(v_task.job_id, v_kind, random() < 0.1);
      end if;
      return next v_task;
    end if;
  end if;

  if v_lease_job_id is not null then
    delete from jobsdb.leases as l
    where l.job_id = v_lease_job_id and l.token = complete_and_claim.lease_token;
  end if;
  if v_task.id is null and complete_and_claim.max_tasks > 0 then
    return query
    select c.*
    from jobsdb.claim_in_turn(
      complete_and_claim.worker,
      complete_and_claim.max_tasks,
      complete_and_claim.kinds,
      complete_and_claim.org_id,
      complete_and_claim.lease,
      complete_and_claim.run_id,
      case
        when complete_and_claim.max_tasks = 1 then gen_random_uuid()
        else overlay(gen_random_uuid()::text placing '8' from 15 for 1)::uuid
      end,
      v_verdicts
    ) as c;
    if not found then
      v_task.verdicts := v_verdicts;
      return next v_task;
    end if;
  elsif complete_and_claim.max_tasks = 0 then
    v_task.verdicts := v_verdicts;
    return next v_task;
  end if;
end;
$$;
revoke all on function public.complete_and_claim(
  bigint[], uuid, jsonb[], text, int, text[], uuid, interval, uuid
) from public, anon, authenticated, service_role;
grant execute on function public.complete_and_claim(
  bigint[], uuid, jsonb[], text, int, text[], uuid, interval, uuid
) to service_role;

comment on function public.complete_and_claim(
  bigint[], uuid, jsonb[], text, int, text[], uuid, interval, uuid
) is
'Does complete_tasks and then claim_tasks in one transaction: the call for a busy worker. Service role only; one call per transaction.
Units:   as of the two functions; max_tasks may be 0.
Returns: the claimed tasks, with the verdicts of complete_tasks in every row; when nothing can be claimed, one row that has only the verdicts. The lease_token may be the old one.
Errors:  those of the two functions.
Source:  sql/functions/work/complete_and_claim.sql';
