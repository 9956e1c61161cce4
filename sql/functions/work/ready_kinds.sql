-- bundle 1
create or replace function jobsdb.ready_kinds(
  job_id uuid,
  kinds text[],
  marks jsonb
)
returns text[]
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set plan_cache_mode to force_generic_plan
as $$
begin
  return array(
    select k.kind
    from jobsdb.task_kinds as k
    cross join lateral (
      select c.pos
      from public.job_tasks as c
      where c.job_id = ready_kinds.job_id
        and c.kind = k.kind
        and c.pos >= coalesce(
          (ready_kinds.marks ->> k.kind)::bigint, -9223372036854775808
        )
      order by c.pos
      limit 1
    ) as n
    where ready_kinds.kinds is null or k.kind = any(ready_kinds.kinds)
    order by n.pos
  );
end;
$$;
revoke all on function jobsdb.ready_kinds(uuid, text[], jsonb)
from public, anon, authenticated, service_role;

comment on function jobsdb.ready_kinds(uuid, text[], jsonb) is
'Says which of some kinds have claimable tasks in a job, the one with the oldest first.
Units:   kinds null means all; marks as jsonb of kind and pos, below which is not looked.
Returns: kinds; empty when there is nothing.
Errors:  none.
Source:  sql/functions/work/ready_kinds.sql';
