-- bundle 1
-- Private tables that a view or function of the caller reads: visible per organisation, nameable by
-- nobody without USAGE on the schema. All other private tables have row-level security and no
-- policy.
drop policy if exists tenant_reads_own_deltas on jobsdb.job_deltas;
create policy tenant_reads_own_deltas on jobsdb.job_deltas
for select to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists service_reads_all_deltas on jobsdb.job_deltas;
create policy service_reads_all_deltas on jobsdb.job_deltas
for select to service_role
using (true);

drop policy if exists tenant_reads_own_leases on jobsdb.leases;
create policy tenant_reads_own_leases on jobsdb.leases
for select to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists service_reads_all_leases on jobsdb.leases;
create policy service_reads_all_leases on jobsdb.leases
for select to service_role
using (true);

drop policy if exists tenant_reads_own_events on jobsdb.events;
create policy tenant_reads_own_events on jobsdb.events
for select to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists service_reads_all_events on jobsdb.events;
create policy service_reads_all_events on jobsdb.events
for select to service_role
using (true);

comment on policy tenant_reads_own_deltas on jobsdb.job_deltas is 'get_job_progress adds them to the counters.';
comment on policy service_reads_all_deltas on jobsdb.job_deltas is 'get_job_progress adds them to the counters.';
comment on policy tenant_reads_own_leases on jobsdb.leases is 'get_job_progress counts the running tasks.';
comment on policy service_reads_all_leases on jobsdb.leases is 'get_job_progress counts the running tasks.';
comment on policy tenant_reads_own_events on jobsdb.events is 'recent_job_activity shows them.';
comment on policy service_reads_all_events on jobsdb.events is 'recent_job_activity shows them.';
