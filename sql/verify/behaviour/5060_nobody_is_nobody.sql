-- 5060 Nobody is nobody.
-- so: data is open to the internet
select jobsdb_proof.act_as('a');
select * from jobsdb_proof.keeps('job', 'a tenant has a job', $$
  insert into public.jobs (name) values ('proof') returning id $$);

-- Without a token.
select jobsdb_proof.act_as('nobody');
select p.*
from (
  values
  ('public.jobs'), ('public.job_tasks'), ('public.job_metrics'), ('public.job_metrics_live'),
  ('public.job_performance_summary'), ('public.recent_job_activity'), ('public.review_queue')
) as r (name)
cross join lateral jobsdb_proof.ends(
  format('anon reads %s', r.name), '42501', format('select * from %s', r.name)
) as p;
select p.*
from (
  values
  ('select public.transition_job_status({job}, ''cancelled'')'),
  ('select public.cancel_job({job})'),
  ('select public.pause_job({job})'),
  ('select public.resume_job({job})'),
  ('select * from public.get_job_cards({job})'),
  ('select * from public.get_job_progress({job})'),
  ('select * from public.get_job_metrics_for_org({a})'),
  ('select public.refresh_job_metrics()'),
  ('select public.claim_tasks(''x'')'),
  ('select public.complete_tasks(''{1}'', null)'),
  ('select public.complete_and_claim(''{1}'', null, null, ''x'')'),
  ('select public.heartbeat_tasks(''{1}'', null)'),
  ('select public.fail_tasks(''{1}'', null)'),
  ('select public.release_tasks(''{1}'', null)'),
  ('select public.assert_lease(1, null)'),
  ('select public.retry_job({job})'),
  ('select public.tick()'),
  ('select public.create_job(''{"name": "proof"}'')'),
  ('select public.validate_job_params(''{}'')'),
  ('select public.explain_job_params(''{}'')'),
  ('select public.render_template(''""'')'),
  ('select public.upsert_contacts(''[]'', {a})'),
  ('select public.preview_job({job})'),
  ('select public.dry_run_job({job})'),
  ('select public.plan_next_batch({job})'),
  ('select public.claim_planning(''x'')'),
  ('select public.draft_cards(1, null)'),
  ('select public.review_card(''x'', ''approve'')'),
  ('select public.review_cards(array[''x''], array[''x''], ''approve'')'),
  ('select public.record_usage({job})'),
  ('select public.claim_sends(''x'')'),
  ('select public.begin_send(1, null)'),
  ('select public.settle_send(1, null, ''sent'')'),
  ('select public.resolve_unknown(1, ''cancel'')'),
  ('select public.record_send_event(''x'', ''1'', ''reply'')'),
  ('select public.job_blockers({job})'),
  ('select public.settle_job({job})'),
  ('select public.erase_contact({a}, ''proof'')'),
  ('select public.export_contact({a}, ''proof'')'),
  ('insert into public.jobs (org_id, name) values ({a}, ''proof'')'),
  ('update public.jobs set name = ''x'' where id = {job}'),
  ('update public.job_tasks set status = ''done'' where job_id = {job}')
) as s (statement)
cross join lateral jobsdb_proof.ends('anon: ' || s.statement, '42501', s.statement) as p;

-- With a token that names nobody: null is not "not equal", it is no.
select jobsdb_proof.act_as('nameless');
select p.*
from (
  values
  ('public.jobs'), ('public.job_tasks'), ('public.job_metrics'), ('public.job_metrics_live'),
  ('public.job_performance_summary'), ('public.recent_job_activity'), ('public.review_queue')
) as r (name)
cross join lateral jobsdb_proof.gives(
  format('a token without sub reads %s', r.name), '0', format('select count(*) from %s', r.name)
) as p;
select p.*
from (
  values
  ('JB020', 'select public.cancel_job({job})'),
  ('JB020', 'select public.pause_job({job})'),
  ('JB010', 'select public.create_job(''{"name": "proof"}'')'),
  (
    'JB020',
    'select public.create_job(jsonb_build_object(''name'', ''proof'', ''org_id'', {a}))'
  ),
  ('JB020', 'select public.upsert_contacts(''[]'')'),
  ('JB020', 'select public.upsert_contacts(''[]'', {a})'),
  ('JB020', 'select public.preview_job({job})'),
  ('JB020', 'select public.dry_run_job({job})'),
  ('JB020', 'select public.plan_next_batch({job})'),
  ('JB020', 'select public.job_blockers({job})'),
  ('JB020', 'select public.settle_job({job})'),
  ('JB020', 'select public.resolve_unknown(1, ''cancel'', {a})'),
  ('JB020', 'select public.erase_contact({a}, ''proof'')'),
  ('no row', 'select 1 where public.export_contact({a}, ''proof'') is not null'),
  ('JB003', 'select public.review_card(''x'', ''approve'', {a})'),
  ('JB003', 'select public.review_cards(array[''x''], array[''x''], ''approve'', {a})'),
  ('JB020', 'insert into public.job_tasks (job_id, step, kind) values ({job}, 1, ''research'')'),
  ('no row', 'select * from public.get_job_progress({job})'),
  ('no row', 'select * from public.get_job_cards({job})'),
  ('no row', 'update public.jobs set name = ''x'' where id = {job}'),
  ('23502|42501', 'insert into public.jobs (name) values (''proof'')'),
  ('42501', 'insert into public.jobs (org_id, name) values ({a}, ''proof'')')
) as s (expected, statement)
cross join
  lateral jobsdb_proof.ends('a token without sub: ' || s.statement, s.expected, s.statement) as p;
