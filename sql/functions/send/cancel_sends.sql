-- bundle 5
create or replace function jobsdb.cancel_sends(
  job_id uuid,
  max_sends int
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_rows int;
begin
  update jobsdb.sends as s
  set state = 'cancelled', reason = 'the job is finished', settled_at = now()
  where s.id = any(array(
    select q.id
    from jobsdb.sends as q
    where q.job_id = cancel_sends.job_id and q.state = 'queued'
    limit cancel_sends.max_sends
    for no key update skip locked
  ));
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
revoke all on function jobsdb.cancel_sends(uuid, int)
from public, anon, authenticated, service_role;

comment on function jobsdb.cancel_sends(uuid, int) is
'Cancels what is queued of a finished job; what somebody holds is left for the next look.
Returns: number of sends.
Errors:  none.
Source:  sql/functions/send/cancel_sends.sql';
