-- bundle 5
create or replace function jobsdb.window_of_send(
  send jobsdb.sends,
  params jsonb
)
returns timestamptz
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  return jobsdb.next_open(
    window_of_send.params,
    (
      select c.time_zone
      from jobsdb.job_contacts as c
      where c.job_id = (window_of_send.send).job_id
        and c.org_id = (window_of_send.send).org_id
        and c.contact_key = (window_of_send.send).contact_key
    ),
    now()
  );
end;
$$;
revoke all on function jobsdb.window_of_send(jobsdb.sends, jsonb)
from public, anon, authenticated, service_role;

comment on function jobsdb.window_of_send(jobsdb.sends, jsonb) is
'Says when the sending window of a send is open next.
Returns: now() when it is open.
Errors:  none.
Source:  sql/functions/send/window_of_send.sql';
