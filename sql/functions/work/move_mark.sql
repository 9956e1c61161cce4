-- bundle 1
-- Behind the lowest claimable task, with room for those who are just committing; now and then that
-- is looked for from the very beginning, because of stragglers. Low priorities lie far above all
-- that is still to come: the mark stays below what the sequence has given out.
create or replace function jobsdb.move_mark(
  job_id uuid,
  kind text,
  from_start boolean
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set plan_cache_mode to force_generic_plan
as $$
declare
  v_none bigint := -9223372036854775808;
  v_mark bigint;
  v_low bigint;
begin
  select coalesce((r.marks ->> move_mark.kind)::bigint, v_none)
  into v_mark
  from jobsdb.runnable_jobs as r
  where r.job_id = move_mark.job_id;
  if not found then
    return;
  end if;

  select c.pos
  into v_low
  from public.job_tasks as c
  where c.job_id = move_mark.job_id
    and c.kind = move_mark.kind
    and c.pos >= case when move_mark.from_start then v_none else v_mark end
  order by c.pos
  limit 1;
  v_low := least(v_low, (select s.last_value from jobsdb.task_order as s)) - 500;
  if v_low < v_mark or v_low > greatest(v_mark, 0) + 1000 then
    update jobsdb.runnable_jobs as r
    set marks = r.marks || jsonb_build_object(move_mark.kind, v_low)
    where r.job_id = (
      select m.job_id
      from jobsdb.runnable_jobs as m
      where m.job_id = move_mark.job_id
      for no key update skip locked
    );
  end if;
end;
$$;
revoke all on function jobsdb.move_mark(uuid, text, boolean)
from public, anon, authenticated, service_role;

comment on function jobsdb.move_mark(uuid, text, boolean) is
'Brings the mark of a kind in a job, below which a claim does not read, up to date.
Returns: nothing.
Errors:  none.
Source:  sql/functions/work/move_mark.sql';
