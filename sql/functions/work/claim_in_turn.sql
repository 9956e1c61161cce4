-- bundle 1
-- Fair between organisations, whoever has however many tasks: jobs in an order that is drawn anew
-- each time, organisation by organisation; within a job, the kind whose next task is oldest comes
-- first. What somebody holds is skipped. What lies idle is looked after by whoever finds nothing.
create or replace function jobsdb.claim_in_turn(
  worker text,
  max_tasks int,
  kinds text[],
  org_id uuid,
  lease interval,
  run_id uuid,
  token uuid,
  verdicts text[]
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
  v_until timestamptz := clock_timestamp() + claim_in_turn.lease;
  v_seed bigint := (random() * 9e15)::bigint;
  v_run_job_id uuid;
  v_run_org_id uuid;
  v_left int := claim_in_turn.max_tasks;
  v_job record;
  v_kind text;
  v_allowed int;
  v_marks jsonb;
  v_more boolean := false;
  v_places tid[];
  v_rows int;
begin
  if claim_in_turn.run_id is not null then
    select r.job_id, r.org_id
    into v_run_job_id, v_run_org_id
    from jobsdb.run_to_link(claim_in_turn.run_id) as r;
  end if;

  for v_round in 1..2 loop
    for v_job in
      select r.job_id, r.org_id, r.is_limited, r.marks
      from jobsdb.runnable_jobs as r
      where (claim_in_turn.org_id is null or r.org_id = claim_in_turn.org_id)
        and (v_run_job_id is null or r.job_id = v_run_job_id)
        and (v_run_org_id is null or r.org_id = v_run_org_id)
      order by uuid_hash_extended(r.org_id, v_seed), uuid_hash_extended(r.job_id, v_seed)
    loop
      -- In the second round also the stragglers below the marks.
      v_marks := case v_round when 1 then v_job.marks else '{}' end;
      v_more := v_more or v_marks <> '{}';
      foreach v_kind in array jobsdb.ready_kinds(
        v_job.job_id, claim_in_turn.kinds, v_marks
      ) loop
        v_allowed := v_left;
        if v_job.is_limited then
          v_allowed := jobsdb.take_allowance(v_job.org_id, v_kind, v_left);
          continue when v_allowed = 0;
        end if;

        v_places := array(
          select c.ctid
          from public.job_tasks as c
          where c.job_id = v_job.job_id
            and c.kind = v_kind
            and c.pos >= coalesce((v_marks ->> v_kind)::bigint, -9223372036854775808)
          order by c.pos
          limit v_allowed
          for no key update skip locked
        );
        continue when v_places = '{}';

        return query
        with claimed as (
          update public.job_tasks as t
          set
            status = 'running',
            pos = null,
            started_at = now(),
            lease_expires_at = v_until,
            lease_token = claim_in_turn.token,
            locked_by = claim_in_turn.worker,
            attempt = t.attempt + 1,
            rev = t.rev + 1
          where t.ctid = any(v_places)
          returning t.*
        ),
        leased as (
          insert into jobsdb.leases as l (job_id, org_id, token, look_at, task_ids)
          select v_job.job_id, v_job.org_id, claim_in_turn.token, v_until, array_agg(c.id)
          from claimed as c
          having count(*) > 0
          on conflict (job_id, token) do update
          set task_ids = l.task_ids || excluded.task_ids
        )
        select
          c.id,
          c.job_id,
          c.org_id,
          c.batch,
          c.step,
          c.kind,
          c.input,
          c.attempt,
          c.retry_count,
          c.lease_token,
          c.lease_expires_at,
          claim_in_turn.verdicts
        from claimed as c
        order by c.id;
        get diagnostics v_rows = row_count;

        v_left := v_left - v_rows;
        if v_job.is_limited then
          perform jobsdb.spend_allowance(v_job.org_id, v_kind, v_rows);
        end if;
        if random() < 0.005 * v_rows or (v_round = 2 and v_job.marks ? v_kind) then
          perform jobsdb.move_mark(
            v_job.job_id, v_kind, v_round = 2 or random() < 0.1
          );
        end if;
        exit when v_left = 0;
      end loop;

      if v_left < claim_in_turn.max_tasks and claim_in_turn.run_id is not null then
        update public.agent_runs as a
        set job_id = v_job.job_id
        where a.id = claim_in_turn.run_id and a.job_id is null;
        exit;  -- a run belongs to one job
      end if;
      exit when v_left = 0;
    end loop;

    exit when v_left < claim_in_turn.max_tasks or v_round = 2;
    perform jobsdb.refuse_claim(
      claim_in_turn.worker, claim_in_turn.max_tasks, claim_in_turn.kinds, claim_in_turn.lease
    );
    exit when not (jobsdb.look_after_tasks(1000) or v_more);
  end loop;
end;
$$;
revoke all on function jobsdb.claim_in_turn(
  text, int, text[], uuid, interval, uuid, uuid, text[]
) from public, anon, authenticated, service_role;

comment on function jobsdb.claim_in_turn(text, int, text[], uuid, interval, uuid, uuid, text[]) is
'Claims tasks of any jobs, kinds and organisations: what public.complete_and_claim does when it is not one task, or not at once.
Units:   as public.claim_tasks; verdicts are put into every row.
Returns: the tasks.
Errors:  JB011 unknown kind, when nothing was found; JB020 unknown run.
Source:  sql/functions/work/claim_in_turn.sql';
