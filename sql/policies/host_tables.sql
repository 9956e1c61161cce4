-- bundle 2
-- Policies and grants of kanban_cards and agent_runs where jobsdb made them. On a host's own tables
-- its policies rule the rows; nothing of them is touched.
do $$
declare
  v_host record;
  v_mine constant text := 'org_id = any((select jobsdb.my_org_ids())::uuid[])';
begin
  for v_host in
    select h.table_name, w.rows_are, w.inserts, w.updates
    from (
      values
      (
        'kanban_cards',
        'cards',
        'org_id, job_id, task_id, type, title, state, content',
        'job_id, task_id, type, title, state, content'
      ),
      (
        'agent_runs',
        'runs',
        'org_id, job_id, status, started_at, finished_at',
        'job_id, status, started_at, finished_at'
      )
    ) as w (table_name, rows_are, inserts, updates)
    inner join jobsdb.host_tables as h on h.table_name = w.table_name and h.made_by_jobsdb
  loop
    execute format(
      'drop policy if exists tenant_reads_own_%2$s on public.%1$I;
      create policy tenant_reads_own_%2$s on public.%1$I
      for select to authenticated using (%3$s);
      comment on policy tenant_reads_own_%2$s on public.%1$I is
      ''Tenants see the %2$s of their organisations.'';

      drop policy if exists tenant_inserts_own_%2$s on public.%1$I;
      create policy tenant_inserts_own_%2$s on public.%1$I
      for insert to authenticated with check (%3$s);
      comment on policy tenant_inserts_own_%2$s on public.%1$I is
      ''Tenants add %2$s to their organisations.'';

      drop policy if exists tenant_updates_own_%2$s on public.%1$I;
      create policy tenant_updates_own_%2$s on public.%1$I
      for update to authenticated using (%3$s) with check (%3$s);
      comment on policy tenant_updates_own_%2$s on public.%1$I is
      ''Tenants change %2$s of their organisations.'';

      drop policy if exists service_does_all_%2$s on public.%1$I;
      create policy service_does_all_%2$s on public.%1$I
      for all to service_role using (true) with check (true);
      comment on policy service_does_all_%2$s on public.%1$I is
      ''The service role acts for every organisation.'';

      revoke all on public.%1$I from public, anon, authenticated, service_role;
      grant select on public.%1$I to authenticated, service_role;
      grant insert (%4$s), update (%5$s) on public.%1$I to authenticated, service_role;
      grant delete on public.%1$I to service_role;',
      v_host.table_name, v_host.rows_are, v_mine, v_host.inserts, v_host.updates
    );
  end loop;
end;
$$;
