-- bundle 1
-- The identity is looked up once a statement (an initplan), never once a row.
drop policy if exists tenant_reads_own_jobs on public.jobs;
create policy tenant_reads_own_jobs on public.jobs
for select to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists tenant_inserts_own_jobs on public.jobs;
create policy tenant_inserts_own_jobs on public.jobs
for insert to authenticated
with check (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists tenant_updates_own_jobs on public.jobs;
create policy tenant_updates_own_jobs on public.jobs
for update to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]))
with check (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists service_does_all_jobs on public.jobs;
create policy service_does_all_jobs on public.jobs
for all to service_role
using (true)
with check (true);

comment on policy tenant_reads_own_jobs on public.jobs is 'Tenants see the jobs of their organisations.';
comment on policy tenant_inserts_own_jobs on public.jobs is 'Tenants create jobs in their organisations.';
comment on policy tenant_updates_own_jobs on public.jobs is 'Tenants change jobs of their organisations.';
comment on policy service_does_all_jobs on public.jobs is 'The service role acts for every organisation; not everywhere can it be given BYPASSRLS.';
