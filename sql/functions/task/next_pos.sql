-- bundle 1
-- Claims go by pos alone, so a priority is a distance: a million million places, which no sequence
-- of tasks will ever cover. What comes before everything else is below the mark where claims begin
-- to read: the mark moves down. If somebody has the mark, he is moving it, or the next look from
-- the very beginning finds the task.
create or replace function jobsdb.next_pos(
  job_id uuid,
  kind text,
  priority int
)
returns bigint
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_pos bigint := nextval('jobsdb.task_order')
    - greatest(-1000, least(1000, next_pos.priority))::bigint * 1000000000000;
begin
  if v_pos < 0 then
    -- Jobs first: whoever pauses or cancels holds the job and asks for the mark.
    perform from public.jobs as j where j.id = next_pos.job_id for key share;
    update jobsdb.runnable_jobs as r
    set marks = r.marks - next_pos.kind
    where r.job_id = (
      select m.job_id
      from jobsdb.runnable_jobs as m
      where m.job_id = next_pos.job_id and (m.marks ->> next_pos.kind)::bigint > v_pos
      for no key update skip locked
    );
  end if;
  return v_pos;
end;
$$;
revoke all on function jobsdb.next_pos(uuid, text, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.next_pos(uuid, text, int) is
'Gives a task that becomes claimable its place: behind all of its priority, before all of lower ones.
Units:   priority −1000 to 1000, higher is earlier; beyond that it is cut.
Returns: a value for job_tasks.pos; negative for priorities above 0.
Errors:  none above READ COMMITTED unless the mark was moved meanwhile (40001).
Source:  sql/functions/task/next_pos.sql';
