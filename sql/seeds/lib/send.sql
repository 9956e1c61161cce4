-- A sender takes the e-mails of campaign seed.job that may go out, and asks the gate for each; with
-- the next moment the provider has answered. Why claims are drawn: see take_drafts.sql.
do $$
declare
  v_job_id uuid := current_setting('seed.job');
  v_org_id uuid := current_setting('seed.org');
  v_most int := 10000;
  v_taken record;
begin
  for v_draw in 1..1000 loop
    begin
      select count(*) as sends, count(*) filter (where c.job_id = v_job_id) as ours
      into v_taken
      from public.claim_sends('sample sender', v_most, v_org_id) as c;
      if v_taken.sends = v_taken.ours then
        return;
      end if;
      raise exception using errcode = 'SEED0';
    exception
      when sqlstate 'SEED0' then
        v_most := least(v_most, case v_draw when 1 then v_taken.ours else v_most end);
    end;
    if v_most = 0 then
      return;
    end if;
  end loop;
  raise exception using
    errcode = 'JB050',
    message = 'other campaigns of the organisation always came first',
    detail = 'In a thousand draws none was for this sample alone.',
    hint = 'Load the samples into an organisation with fewer running campaigns.';
end;
$$;

select public.begin_send(s.id, s.lease_token)
from jobsdb.sends as s
where s.job_id = current_setting('seed.job')::uuid and s.state = 'leased'
order by s.id;
