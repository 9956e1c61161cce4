-- An agent takes the e-mails that are to be drafted in campaign seed.job.
--
-- Whoever claims serves a whole organisation, campaign after campaign in an order that is drawn
-- anew each time. Nobody else's work may be touched here: a draw in which another campaign had a
-- turn is taken back, and repeated for as many tasks as this one got.
do $$
declare
  v_job_id uuid := current_setting('seed.job');
  v_org_id uuid := current_setting('seed.org');
  v_most int := 10000;
  v_taken record;
begin
  for v_draw in 1..1000 loop
    begin
      select count(*) as tasks, count(*) filter (where c.job_id = v_job_id) as ours
      into v_taken
      from public.claim_tasks('sample agent', v_most, '{draft_email}', v_org_id, '1 hour') as c;
      if v_taken.tasks = v_taken.ours then
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
