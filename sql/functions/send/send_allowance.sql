-- bundle 5
-- The caller holds the organisation's rows of jobsdb.rate_limits, so nobody else counts meanwhile.
-- What somebody has in hand counts as dispatched: it may be in a moment.
create or replace function jobsdb.send_allowance(
  org_id uuid,
  scope text,
  value text
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_limit record;
  v_used int;
  v_left int;
begin
  for v_limit in
    select r.max_sends, r.per
    from jobsdb.rate_limits as r
    where r.org_id = send_allowance.org_id
      and r.scope = send_allowance.scope
      and r.value in (send_allowance.value, '*')
  loop
    select count(*)
    into v_used
    from (
      select s.mailbox, s.domain
      from jobsdb.sends as s
      where s.org_id = send_allowance.org_id
        and s.dispatched_at > clock_timestamp() - v_limit.per
      union all
      select s.mailbox, s.domain
      from jobsdb.sends as s
      where s.org_id = send_allowance.org_id
        and s.lease_expires_at is not null
        and s.state = 'leased'
        and (s.dispatched_at > clock_timestamp() - v_limit.per) is not true
    ) as u
    where case send_allowance.scope
      when 'mailbox' then lower(u.mailbox) = send_allowance.value
      when 'domain' then u.domain = send_allowance.value
      else true
    end;
    v_left := least(v_left, greatest(0, v_limit.max_sends - v_used));
  end loop;
  return v_left;
end;
$$;
revoke all on function jobsdb.send_allowance(uuid, text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.send_allowance(uuid, text, text) is
'Says how many more e-mails a limit of jobsdb.rate_limits allows now.
Units:   scope org, mailbox or domain; value the mailbox or domain.
Returns: a number; null without a limit.
Errors:  none.
Source:  sql/functions/send/send_allowance.sql';
