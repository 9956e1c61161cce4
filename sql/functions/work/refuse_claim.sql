-- bundle 1
-- Called when an argument looks wrong, and by a claim that found nothing: a misspelt kind finds
-- nothing for ever.
create or replace function jobsdb.refuse_claim(
  worker text,
  max_tasks int,
  kinds text[],
  lease interval
)
returns void
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_problem text;
  v_hint text;
  v_kind text;
begin
  if max_tasks > 10000 then
    raise exception using
      errcode = 'JB050',
      message = format('%s tasks are too many for one claim', refuse_claim.max_tasks),
      detail = 'The limit is 10000.',
      hint = 'Claim as many as one worker finishes within its lease.';
  end if;

  select k.kind
  into v_kind
  from unnest(refuse_claim.kinds) as k (kind)
  where not exists (select from jobsdb.task_kinds as t where t.kind = k.kind)
  limit 1;
  if found then
    v_problem := format('"%s" is no kind of task', coalesce(v_kind, 'null'));
    v_hint := 'Use kinds of jobsdb.task_kinds, or null for all.';
  elsif cardinality(refuse_claim.kinds) = 0 then
    v_problem := 'no kind of task is named';
    v_hint := 'Leave kinds out, or pass null, for all kinds.';
  elsif coalesce(refuse_claim.worker, '') = '' or length(refuse_claim.worker) > 200 then
    v_problem := 'worker is no name';
    v_hint := 'Name the process, for people who look for a stuck task: 1 to 200 characters.';
  elsif coalesce(refuse_claim.max_tasks < 1, true) then
    v_problem := format('max_tasks cannot be %s', coalesce(refuse_claim.max_tasks::text, 'null'));
    v_hint := 'Claim at least one task.';
  elsif coalesce(refuse_claim.lease <= '0' or refuse_claim.lease > '1 day', true) then
    v_problem := format('lease cannot be %s', coalesce(refuse_claim.lease::text, 'null'));
    v_hint := 'Use a minute or so and call heartbeat_tasks while you work; at most a day.';
  else
    return;
  end if;
  raise exception using
    errcode = 'JB011',
    message = v_problem,
    detail = format(
      'worker %L, max_tasks %s, kinds %s, lease %s.',
      left(refuse_claim.worker, 200),
      coalesce(refuse_claim.max_tasks::text, 'null'),
      left(coalesce(refuse_claim.kinds::text, 'null'), 200),
      coalesce(refuse_claim.lease::text, 'null')
    ),
    hint = v_hint;
end;
$$;
revoke all on function jobsdb.refuse_claim(text, int, text[], interval)
from public, anon, authenticated, service_role;

comment on function jobsdb.refuse_claim(text, int, text[], interval) is
'Refuses impossible arguments of a claim or a heartbeat.
Returns: nothing when they are all right.
Errors:  JB011 bad argument; JB050 more than 10,000 tasks.
Source:  sql/functions/work/refuse_claim.sql';
