-- bundle 1
-- Runs for every row of a bulk insert: a helper is called only when there is something to refuse,
-- or a case that is not the usual one (each call costs more than all the comparisons here). No
-- sequential scans: a plan made while the table was empty would be kept for the whole of a bulk
-- insert (measured: 4.7 million instead of 0.27 million instructions a row for 2,500 chained
-- tasks).
create or replace function jobsdb.guard_task_insert()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set enable_seqscan to off
as $$
declare
  v_org_id uuid;
  v_max_retries int;
  v_step int;
  v_is_ours boolean;
begin
  if tg_relid <> 'public.job_tasks'::regclass then
    perform jobsdb.refuse_trigger('public.job_tasks');
  end if;
  -- A plan of our own, which has proved and filled in everything for all its rows at once; no role
  -- may write rev.
  if new.rev = 1 then
    return new;
  end if;

  select
    j.org_id,
    (select k.max_retries from jobsdb.task_kinds as k where k.kind = new.kind)
  into v_org_id, v_max_retries
  from public.jobs as j
  where j.id = new.job_id;
  -- What jobsdb.may_see asks, for most callers without calling it.
  if not found or not (
    v_org_id is not distinct from auth.uid()
    or pg_has_role(
      coalesce(nullif(current_setting('role', true), 'none'), session_user), 'service_role', 'MEMBER'
    )
    or jobsdb.may_see(v_org_id)
  ) then
    perform jobsdb.refuse_job(new.job_id);
  end if;
  new.org_id := v_org_id;

  if new.status <> 'pending' then
    raise exception using
      errcode = 'JB002',
      message = format('a new task cannot be "%s"', new.status),
      detail = 'Every task starts as "pending".',
      hint = 'Insert it without a status and move it afterwards.';
  end if;
  if v_max_retries is null then
    raise exception using
      errcode = 'JB011',
      message = format('"%s" is no kind of task', coalesce(new.kind, 'null')),
      detail = (
        select format('Known kinds: %s.', string_agg(k.kind, ', ' order by k.kind))
        from jobsdb.task_kinds as k
      ),
      hint = 'Use one of these, or add a row to jobsdb.task_kinds.';
  end if;
  new.max_retries := coalesce(new.max_retries, v_max_retries);
  if jsonb_typeof(new.input) <> 'object'
    or pg_column_size(new.input) >= 300
    or pg_column_compression(new.input) is not null then
    perform jobsdb.check_input(new.input);
  end if;
  if new.scheduled_for is null and new.input ? 'scheduled_for' then
    new.scheduled_for := jobsdb.scheduled_time(new.input ->> 'scheduled_for');
  end if;

  if new.depends_on = '{}' then
    new.waits_on := null;
  elsif new.depends_on is null then
    select u.step, u.xmin = pg_current_xact_id()::xid
    into v_step, v_is_ours
    from public.job_tasks as u
    where u.job_id = new.job_id
      and u.batch = new.batch
      and u.step < new.step
      and u.status in ('pending', 'running', 'error')
    order by u.step desc
    limit 1;
    -- A plan is mostly written in one transaction; a step somebody else may be ending is watched.
    new.waits_on := case
      when v_step is null or v_is_ours then v_step
      else jobsdb.next_wait(new.job_id, new.org_id, new.batch, new.step, null, new.id)
    end;
  else
    if array_ndims(new.depends_on) > 1
      or new.step <= any(new.depends_on)
      or array_position(new.depends_on, null) is not null then
      raise exception using
        errcode = 'JB011',
        message = format('step %s depends on a step that is not below it', new.step),
        detail = format('In batch %s its depends_on is %s.', new.batch, new.depends_on::text),
        hint = 'Name lower steps of the same batch; {} means none, null all lower ones present.';
    end if;
    -- A named step that comes later in this statement is not there yet; the statement trigger
    -- refuses it when it never comes.
    new.waits_on := jobsdb.next_wait(
      new.job_id, new.org_id, new.batch, new.step, new.depends_on, new.id, true
    );
  end if;

  if new.waits_on is not null then
    return new;
  end if;
  if new.scheduled_for > now() then
    new.waits_until := new.scheduled_for;
  elsif new.priority = 0 then
    new.pos := nextval('jobsdb.task_order');
  else
    new.pos := jobsdb.next_pos(new.job_id, new.kind, new.priority);
  end if;
  return new;
end;
$$;
revoke all on function jobsdb.guard_task_insert() from public, anon, authenticated, service_role;

comment on function jobsdb.guard_task_insert() is
'Trigger: a new task belongs to a job its planner may see, takes over its organisation, is pending, of a known kind, and knows what it waits for.
Returns: the row.
Errors:  JB002 not pending; JB011 bad input, kind or dependency; JB012 too large or too deep; JB020 job not found or not yours.
Source:  sql/functions/task/guard_task_insert.sql';
