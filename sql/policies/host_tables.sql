-- bundle 2
-- Policies and grants of kanban_cards and agent_runs where jobsdb made them. On a host's own tables the
-- host's policies rule the rows; nothing of them is touched.
do $$
begin
  if exists (
    select from jobsdb.host_tables as h where h.table_name = 'kanban_cards' and h.made_by_jobsdb
  ) then
    drop policy if exists tenant_reads_own_cards on public.kanban_cards;
    create policy tenant_reads_own_cards on public.kanban_cards
    for select to authenticated
    using (org_id = any ((select jobsdb.my_org_ids())::uuid[]));

    drop policy if exists tenant_inserts_own_cards on public.kanban_cards;
    create policy tenant_inserts_own_cards on public.kanban_cards
    for insert to authenticated
    with check (org_id = any ((select jobsdb.my_org_ids())::uuid[]));

    drop policy if exists tenant_updates_own_cards on public.kanban_cards;
    create policy tenant_updates_own_cards on public.kanban_cards
    for update to authenticated
    using (org_id = any ((select jobsdb.my_org_ids())::uuid[]))
    with check (org_id = any ((select jobsdb.my_org_ids())::uuid[]));

    drop policy if exists service_does_all_cards on public.kanban_cards;
    create policy service_does_all_cards on public.kanban_cards
    for all to service_role
    using (true)
    with check (true);

    comment on policy tenant_reads_own_cards on public.kanban_cards is 'Tenants see the cards of their organisations.';
    comment on policy tenant_inserts_own_cards on public.kanban_cards is 'Tenants create cards in their organisations.';
    comment on policy tenant_updates_own_cards on public.kanban_cards is 'Tenants change and decide cards of their organisations.';
    comment on policy service_does_all_cards on public.kanban_cards is 'The service role acts for every organisation.';

    revoke all on public.kanban_cards from public, anon, authenticated, service_role;
    grant select on public.kanban_cards to authenticated, service_role;
    grant
      insert (org_id, job_id, task_id, type, title, state, content),
      update (job_id, task_id, type, title, state, content)
    on public.kanban_cards to authenticated, service_role;
    grant delete on public.kanban_cards to service_role;
  end if;

  if exists (
    select from jobsdb.host_tables as h where h.table_name = 'agent_runs' and h.made_by_jobsdb
  ) then
    drop policy if exists tenant_reads_own_runs on public.agent_runs;
    create policy tenant_reads_own_runs on public.agent_runs
    for select to authenticated
    using (org_id = any ((select jobsdb.my_org_ids())::uuid[]));

    drop policy if exists tenant_inserts_own_runs on public.agent_runs;
    create policy tenant_inserts_own_runs on public.agent_runs
    for insert to authenticated
    with check (org_id = any ((select jobsdb.my_org_ids())::uuid[]));

    drop policy if exists tenant_updates_own_runs on public.agent_runs;
    create policy tenant_updates_own_runs on public.agent_runs
    for update to authenticated
    using (org_id = any ((select jobsdb.my_org_ids())::uuid[]))
    with check (org_id = any ((select jobsdb.my_org_ids())::uuid[]));

    drop policy if exists service_does_all_runs on public.agent_runs;
    create policy service_does_all_runs on public.agent_runs
    for all to service_role
    using (true)
    with check (true);

    comment on policy tenant_reads_own_runs on public.agent_runs is 'Tenants see the runs of their organisations.';
    comment on policy tenant_inserts_own_runs on public.agent_runs is 'Tenants record runs in their organisations.';
    comment on policy tenant_updates_own_runs on public.agent_runs is 'Tenants change runs of their organisations.';
    comment on policy service_does_all_runs on public.agent_runs is 'The service role acts for every organisation.';

    revoke all on public.agent_runs from public, anon, authenticated, service_role;
    grant select on public.agent_runs to authenticated, service_role;
    grant
      insert (org_id, job_id, status, started_at, finished_at),
      update (job_id, status, started_at, finished_at)
    on public.agent_runs to authenticated, service_role;
    grant delete on public.agent_runs to service_role;
  end if;
end;
$$;
