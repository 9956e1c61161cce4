-- Freezes the audience of campaign seed.job and plans its first batch: what create_job does after
-- it has chosen an id. The id of a sample follows from its name, so this is done by hand.
--
-- A sample writes to its own contacts only, also in an organisation that has others in the same
-- group: its groups stand in jobsdb.contacts with its name before them, and are asked for by that.
do $$
declare
  v_job public.jobs := (select j from public.jobs as j where j.id = current_setting('seed.job')::uuid);
  v_source jsonb;
begin
  -- Where the host has bound contacts of its own, they are out of sight for this transaction.
  delete from jobsdb.contact_source as s
  where s.only_row
  returning to_jsonb(s)
  into v_source;
  update public.jobs as j
  set params = j.params || jsonb_build_object(
    'target_group', concat_ws('/', j.params ->> 'seed', j.params ->> 'target_group')
  )
  where j.id = v_job.id;

  perform jobsdb.enrol_contacts(v_job.id);

  update public.jobs as j
  set params = v_job.params
  where j.id = v_job.id;
  insert into jobsdb.contact_source
  select s.*
  from jsonb_populate_record(null::jobsdb.contact_source, v_source) as s
  where v_source is not null;

  insert into jobsdb.planned_jobs (job_id, org_id) values (v_job.id, v_job.org_id);
  perform public.plan_next_batch(v_job.id);
end;
$$;
