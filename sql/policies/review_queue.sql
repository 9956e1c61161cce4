-- bundle 4
drop policy if exists tenant_reads_own_waiting on jobsdb.waiting_cards;
create policy tenant_reads_own_waiting on jobsdb.waiting_cards
for select to authenticated
using (org_id = any((select jobsdb.my_org_ids())::uuid[]));

drop policy if exists service_reads_all_waiting on jobsdb.waiting_cards;
create policy service_reads_all_waiting on jobsdb.waiting_cards
for select to service_role
using (true);

revoke all on jobsdb.waiting_cards from public, anon, authenticated, service_role;
grant select on jobsdb.waiting_cards to authenticated, service_role;

comment on policy tenant_reads_own_waiting on jobsdb.waiting_cards is 'review_queue shows them.';
comment on policy service_reads_all_waiting on jobsdb.waiting_cards is 'review_queue shows them.';
