-- bundle 1
-- For plain SQL, which may wait for a moment; what could not be written then becomes a delta.
create or replace function jobsdb.lock_job(
  job_id uuid
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set lock_timeout to '50ms'
as $$
begin
  -- A locked row that is skipped and a changed one raise alike under these levels.
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;

  begin
    perform from public.jobs as j where j.id = lock_job.job_id for no key update;
    return found;
  exception
    when lock_not_available then
      return false;
  end;
end;
$$;
revoke all on function jobsdb.lock_job(uuid) from public, anon, authenticated, service_role;

comment on function jobsdb.lock_job(uuid) is
'Takes the job row for its counters, waiting 50 ms at most.
Returns: whether the row is held now; always false above READ COMMITTED.
Errors:  none.
Source:  sql/functions/job/lock_job.sql';
