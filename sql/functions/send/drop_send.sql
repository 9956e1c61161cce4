-- bundle 5
create or replace function jobsdb.drop_send(
  send jobsdb.sends,
  reason text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  update jobsdb.sends as s
  set
    state = case drop_send.reason
      when 'wait' then 'queued'
      when 'later' then 'queued'
      when 'suppressed' then 'suppressed'
      else 'cancelled'
    end,
    not_before = case drop_send.reason
      when 'wait' then now() + interval '1 minute'
      when 'later' then (
        select jobsdb.window_of_send(drop_send.send, j.params)
        from public.jobs as j
        where j.id = s.job_id and j.org_id = s.org_id
      )
      else s.not_before
    end,
    reason = case when drop_send.reason not in ('wait', 'later') then drop_send.reason end,
    lease_token = null,
    lease_expires_at = null,
    locked_by = null,
    settled_at = case when drop_send.reason not in ('wait', 'later') then now() end
  where s.id = (drop_send.send).id;
  if drop_send.reason = 'suppressed' then
    perform jobsdb.stop_contact(
      (drop_send.send).job_id, (drop_send.send).org_id, (drop_send.send).contact_key, 'suppressed'
    );
  end if;
end;
$$;
revoke all on function jobsdb.drop_send(jobsdb.sends, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.drop_send(jobsdb.sends, text) is
'Takes a send out of the queue, or puts it back for a minute, as jobsdb.may_go_out said.
Returns: nothing.
Errors:  none.
Source:  sql/functions/send/drop_send.sql';
