-- bundle 1
drop policy if exists tenant_reads_own_tasks on public.job_tasks;
create policy tenant_reads_own_tasks on public.job_tasks
for select to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists tenant_inserts_own_tasks on public.job_tasks;
create policy tenant_inserts_own_tasks on public.job_tasks
for insert to authenticated
with check (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists tenant_updates_own_tasks on public.job_tasks;
create policy tenant_updates_own_tasks on public.job_tasks
for update to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]))
with check (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists service_does_all_tasks on public.job_tasks;
create policy service_does_all_tasks on public.job_tasks
for all to service_role
using (true)
with check (true);

comment on policy tenant_reads_own_tasks on public.job_tasks is 'Tenants see the tasks of their organisations.';
comment on policy tenant_inserts_own_tasks on public.job_tasks is 'Tenants plan tasks in their organisations.';
comment on policy tenant_updates_own_tasks on public.job_tasks is 'Tenants change tasks of their organisations.';
comment on policy service_does_all_tasks on public.job_tasks is 'The service role acts for every organisation; not everywhere can it be given BYPASSRLS.';
