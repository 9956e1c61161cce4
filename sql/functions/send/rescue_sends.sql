-- bundle 5
-- A worker that died before it asked the provider has done nothing. One that died after it may have
-- sent: only a provider that recognises the key is asked again, and only as long as it remembers it
-- (24 hours, as with Resend and Stripe).
create or replace function jobsdb.rescue_sends(
  max_sends int default 1000
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
  set
    state = case
      when s.state = 'leased' then 'queued'
      when s.knows_repeats and s.dispatched_at > now() - interval '20 hours' then 'queued'
      else 'unknown'
    end,
    reason = case
      when s.state = 'dispatching'
        then format('worker %s was lost while the provider was asked', s.locked_by)
    end,
    may_be_out = s.may_be_out or s.state = 'dispatching',
    lease_expires_at = null
  where s.id = any(array(
    select q.id
    from jobsdb.sends as q
    where q.lease_expires_at <= clock_timestamp()
    order by q.lease_expires_at
    limit rescue_sends.max_sends
    for no key update skip locked
  ))
  and s.lease_expires_at <= clock_timestamp();
  get diagnostics v_rows = row_count;

  perform jobsdb.cancel_sends(c.job_id, rescue_sends.max_sends)
  from jobsdb.closed_jobs as c;
  return v_rows;
end;
$$;
revoke all on function jobsdb.rescue_sends(int) from public, anon, authenticated, service_role;

comment on function jobsdb.rescue_sends(int) is
'Takes sends back whose lease has ended: queued again where that is safe, else unknown. Goes on cancelling what is queued of jobs that have just been closed.
Returns: number of sends.
Errors:  none.
Source:  sql/functions/send/rescue_sends.sql';
