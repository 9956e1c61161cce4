-- bundle 4
create or replace function public.claim_planning(
  worker text,
  org_id uuid default null
)
returns table (job_id uuid, tasks int)
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_plan record;
begin
  if (length(claim_planning.worker) between 1 and 200) is not true then
    raise exception using
      errcode = 'JB011',
      message = 'a planner has to say its name',
      detail = 'worker is empty or longer than 200 characters.',
      hint = 'Any name will do, such as that of the host.';
  end if;

  for v_plan in
    select p.job_id
    from jobsdb.planned_jobs as p
    inner join jobsdb.runnable_jobs as r on r.job_id = p.job_id and r.org_id = p.org_id
    where p.next_at <= now()
      and (claim_planning.org_id is null or p.org_id = claim_planning.org_id)
    order by p.next_at
    limit 100
  loop
    perform from public.jobs as j
    where j.id = v_plan.job_id and j.status = 'running'
    for key share skip locked;
    continue when not found;
    perform from jobsdb.planned_jobs as p
    where p.job_id = v_plan.job_id and p.next_at <= now()
    for no key update skip locked;
    continue when not found;
    claim_planning.tasks := jobsdb.take_plan(v_plan.job_id);
    if claim_planning.tasks > 0 then
      claim_planning.job_id := v_plan.job_id;
      return next;
      return;
    end if;
  end loop;
end;
$$;
revoke all on function public.claim_planning(text, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.claim_planning(text, uuid) to service_role;

comment on function public.claim_planning(text, uuid) is
'Plans the next batch of one job that is due and that nobody else is planning: what a runner calls now and then until it gets no row. Service role only.
Units:   worker is any name; org_id null: all organisations.
Returns: the job and how many tasks were planned; no row when nothing is due.
Errors:  JB011 no name.
Source:  sql/functions/campaign/claim_planning.sql';
