-- bundle 5
create or replace function jobsdb.follow_job_end()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if tg_relid <> 'public.jobs'::regclass then
    perform jobsdb.refuse_trigger('public.jobs');
  end if;
  perform jobsdb.cancel_sends(new.id, 1000);
  return null;
end;
$$;
revoke all on function jobsdb.follow_job_end() from public, anon, authenticated, service_role;

comment on function jobsdb.follow_job_end() is
'Trigger: begins to cancel what is queued of a job that failed or was cancelled; jobsdb.rescue_sends goes on.
Returns: null.
Errors:  none.
Source:  sql/functions/send/follow_job_end.sql';
