-- bundle 5
-- Jobs that are running, in an order drawn anew each time, organisation by organisation. One with
-- limits is served by one claimer at a time: whoever finds its limits held goes on to the next, so
-- nobody waits and the count is exact.
create or replace function public.claim_sends(
  worker text,
  max_sends int default 1,
  org_id uuid default null,
  lease interval default '1 minute'
)
returns setof jobsdb.sends
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_token uuid := gen_random_uuid();
  v_left int := claim_sends.max_sends;
  v_seed bigint := (random() * 9e15)::bigint;
  v_job record;
  v_org uuid;
  v_is_served boolean;
  v_held int;
  v_allowed jsonb;
  v_full text[];
  v_ids bigint[];
  v_send jobsdb.sends;
  v_limit record;
  v_problem text;
begin
  perform jobsdb.refuse_claim(
    claim_sends.worker, claim_sends.max_sends, null, claim_sends.lease
  );
  perform jobsdb.rescue_sends(100);

  for v_job in
    select r.job_id, r.org_id
    from jobsdb.runnable_jobs as r
    where (claim_sends.org_id is null or r.org_id = claim_sends.org_id)
      and exists (
        select from jobsdb.sends as q
        where q.job_id = r.job_id and q.state = 'queued' and q.not_before <= now()
      )
    order by uuid_hash_extended(r.org_id, v_seed), uuid_hash_extended(r.job_id, v_seed)
  loop
    if v_job.org_id is distinct from v_org then
      v_org := v_job.org_id;
      perform from jobsdb.rate_limits as r where r.org_id = v_org for update skip locked;
      get diagnostics v_held = row_count;
      v_is_served := v_held < (
        select count(*) from jobsdb.rate_limits as r where r.org_id = v_org
      );
      v_allowed := '{}';
      v_full := '{}';
    end if;
    continue when v_is_served;

    loop
      v_ids := array(
        select q.id
        from jobsdb.sends as q
        where q.job_id = v_job.job_id
          and q.state = 'queued'
          and q.not_before <= now()
          and not array['org', 'domain ' || q.domain, 'mailbox ' || lower(q.mailbox)] && v_full
        order by q.not_before, q.id
        limit v_left
        for no key update skip locked
      );
      exit when v_ids = '{}';
      for v_send in
        select q.*
        from jobsdb.sends as q
        where q.id = any(v_ids)
        order by q.not_before, q.id
      loop
        if v_held > 0 then
          -- Each limit is counted once a call, and then counted down here.
          for v_limit in
            select l.key, l.scope, l.value
            from (
              values
              ('org', 'org', '*'),
              ('domain ' || v_send.domain, 'domain', v_send.domain),
              ('mailbox ' || lower(v_send.mailbox), 'mailbox', lower(v_send.mailbox))
            ) as l (key, scope, value)
          loop
            if not v_allowed ? v_limit.key then
              v_allowed := v_allowed || jsonb_build_object(
                v_limit.key,
                coalesce(jobsdb.send_allowance(v_org, v_limit.scope, v_limit.value), 10000)
              );
            end if;
            if (v_allowed ->> v_limit.key)::int = 0 and v_limit.key <> all(v_full) then
              v_full := v_full || v_limit.key;
            end if;
          end loop;
          continue when
            array['org', 'domain ' || v_send.domain, 'mailbox ' || lower(v_send.mailbox)]
              && v_full;
        end if;

        v_problem := jobsdb.may_go_out(v_send);
        if v_problem is not null then
          perform jobsdb.drop_send(v_send, v_problem);
          continue;
        end if;
        update jobsdb.sends as s
        set
          state = 'leased',
          lease_token = v_token,
          lease_expires_at = clock_timestamp() + claim_sends.lease,
          locked_by = claim_sends.worker
        where s.id = v_send.id
        returning s.*
        into v_send;
        return next v_send;
        v_left := v_left - 1;
        if v_held > 0 then
          v_allowed := (
            select jsonb_object_agg(
              a.key,
              a.value::int - (
                a.key in (
                  'org', 'domain ' || v_send.domain, 'mailbox ' || lower(v_send.mailbox)
                )
              )::int
            )
            from jsonb_each_text(v_allowed) as a
          );
        end if;
      end loop;
      exit when v_left = 0;
    end loop;
    exit when v_left = 0;
  end loop;
end;
$$;
revoke all on function public.claim_sends(text, int, uuid, interval)
from public, anon, authenticated, service_role;
grant execute on function public.claim_sends(text, int, uuid, interval) to service_role;

comment on function public.claim_sends(text, int, uuid, interval) is
'Hands a worker e-mails that may go out now: approved, in their window, within the limits, to nobody who is suppressed or has answered. Service role only; one call per transaction.
Units:   worker is any name; max_sends 1 to 10,000; org_id null: all organisations, in fair turns; lease up to a day.
Returns: rows of jobsdb.sends with one lease_token; before the provider is asked, begin_send has to say yes.
Errors:  JB011 bad argument; JB050 more than 10,000.
Source:  sql/functions/send/claim_sends.sql';
