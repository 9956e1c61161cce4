-- bundle 1
-- So that a claim need not ask for limits where there are none. A job that starts just now may be
-- missed: tick() looks again.
create or replace function jobsdb.mark_limited_jobs()
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  update jobsdb.runnable_jobs as r
  set is_limited = not r.is_limited
  where r.is_limited <> exists (
    select from jobsdb.work_limits as l where l.org_id = r.org_id
  );
end;
$$;
revoke all on function jobsdb.mark_limited_jobs()
from public, anon, authenticated, service_role;

comment on function jobsdb.mark_limited_jobs() is
'Notes at each job that may be worked on whether its organisation has limits.
Returns: nothing.
Errors:  none.
Source:  sql/functions/work/mark_limited_jobs.sql';
