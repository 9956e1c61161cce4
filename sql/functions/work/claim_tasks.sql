-- bundle 1
create or replace function public.claim_tasks(
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
as $$
begin
  if coalesce(claim_tasks.max_tasks < 1, true) then
    perform jobsdb.refuse_claim(
      claim_tasks.worker, claim_tasks.max_tasks, claim_tasks.kinds, claim_tasks.lease
    );
  end if;
  return query
  select c.*
  from public.complete_and_claim(
    '{}',
    null,
    null,
    claim_tasks.worker,
    claim_tasks.max_tasks,
    claim_tasks.kinds,
    claim_tasks.org_id,
    claim_tasks.lease,
    claim_tasks.run_id
  ) as c
  where c.id is not null;
end;
$$;
revoke all on function public.claim_tasks(text, int, text[], uuid, interval, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.claim_tasks(text, int, text[], uuid, interval, uuid)
to service_role;

comment on function public.claim_tasks(text, int, text[], uuid, interval, uuid) is
'Hands a worker tasks to work on, which are its own until the lease ends, unless it is renewed by heartbeat_tasks, or somebody changes them by plain SQL. Service role only; one call per transaction.
Units:   worker is any name; max_tasks 1 to 10,000; kinds null: all; org_id null: all organisations, in fair turns; lease up to a day; run_id: an agent run, which is linked to the job and gets tasks of that job only.
Returns: the tasks, with the one lease_token that complete_tasks and the others ask for; no row when there is nothing to do now.
Errors:  JB011 bad argument or unknown kind; JB020 unknown run; JB050 more than 10,000.
Source:  sql/functions/work/claim_tasks.sql';
