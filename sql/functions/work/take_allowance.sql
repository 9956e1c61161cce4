-- bundle 1
-- The rows of the limits stay locked until the claim has committed, so two claims never count the
-- same place free; a claim that finds them locked takes tasks of somebody else, or none. What runs
-- is counted anew each time, never remembered.
create or replace function jobsdb.take_allowance(
  org_id uuid,
  kind text,
  wanted int
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_limit record;
  v_allowed int := take_allowance.wanted;
  v_limits int := 0;
begin
  -- An old snapshot does not see what others have claimed.
  if current_setting('transaction_isolation') <> 'read committed' then
    return 0;
  end if;
  for v_limit in
    select l.kind, l.max_running, l.max_starts, l.per, l.window_began_at, l.starts
    from jobsdb.work_limits as l
    where l.org_id = take_allowance.org_id and l.kind in (take_allowance.kind, '*')
    order by l.kind
    for update skip locked
  loop
    v_limits := v_limits + 1;
    if v_limit.max_running is not null then
      v_allowed := least(
        v_allowed,
        v_limit.max_running - (
          select count(*)::int
          from jobsdb.leases as s
          cross join unnest(s.task_ids) as i (id)
          inner join public.job_tasks as t on t.id = i.id and t.org_id = s.org_id
          where s.org_id = take_allowance.org_id
            and t.status = 'running'
            and t.lease_token = s.token
            and v_limit.kind in (t.kind, '*')
        )
      );
    end if;
    if v_limit.max_starts is not null then
      v_allowed := least(
        v_allowed,
        v_limit.max_starts - case
          when clock_timestamp() >= v_limit.window_began_at + v_limit.per then 0
          else v_limit.starts
        end
      );
    end if;
  end loop;

  -- Somebody holds one of them.
  if v_limits < (
    select count(*)
    from jobsdb.work_limits as l
    where l.org_id = take_allowance.org_id and l.kind in (take_allowance.kind, '*')
  ) then
    return 0;
  end if;
  return greatest(v_allowed, 0);
end;
$$;
revoke all on function jobsdb.take_allowance(uuid, text, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.take_allowance(uuid, text, int) is
'Says how many of the wanted tasks of a kind an organisation may have claimed now, and keeps others from asking until the transaction ends.
Returns: 0 to wanted; 0 also while somebody else is claiming under the same limit.
Errors:  none.
Source:  sql/functions/work/take_allowance.sql';
