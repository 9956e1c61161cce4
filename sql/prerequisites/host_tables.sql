-- bundle 2
-- The host application's two tables, where the host has none. A host that has them keeps them: the
-- next migration only adds links to them.
do $$
begin
  if to_regclass('public.kanban_cards') is null
    and not exists (select from jobsdb.host_tables as h where h.table_name = 'kanban_cards') then
    insert into jobsdb.host_tables (table_name, made_by_jobsdb) values ('kanban_cards', true);

    create table public.kanban_cards (
      id uuid not null default gen_random_uuid(),
      org_id uuid not null default auth.uid(),
      type text not null,
      title text,
      state text not null default 'in_review',
      content jsonb not null default '{}',
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      constraint kanban_cards_pkey primary key (id)
    );
    alter table public.kanban_cards enable row level security;
    revoke all on public.kanban_cards from public, anon, authenticated, service_role;
    create index kanban_cards_newest_of_org on public.kanban_cards (org_id, created_at desc);

    comment on table public.kanban_cards is
      'What a person reviews before it happens. Made by jobsdb: the host application had none.';
    comment on column public.kanban_cards.id is 'Identity of the card; given by the database.';
    comment on column public.kanban_cards.org_id is 'The organisation it belongs to.';
    comment on column public.kanban_cards.type is 'What it proposes: a task kind.';
    comment on column public.kanban_cards.title is 'What a person sees first.';
    comment on column public.kanban_cards.state is 'in_review, approved, rejected or done; any other word counts as waiting for review.';
    comment on column public.kanban_cards.content is 'What would happen, a JSON object; for an e-mail {to, subject, body}.';
    comment on column public.kanban_cards.created_at is 'When it was made.';
    comment on column public.kanban_cards.updated_at is 'Last change.';
  end if;

  if to_regclass('public.agent_runs') is null
    and not exists (select from jobsdb.host_tables as h where h.table_name = 'agent_runs') then
    insert into jobsdb.host_tables (table_name, made_by_jobsdb) values ('agent_runs', true);

    create table public.agent_runs (
      id uuid not null default gen_random_uuid(),
      org_id uuid not null default auth.uid(),
      status text not null default 'running',
      started_at timestamptz,
      finished_at timestamptz,
      created_at timestamptz not null default now(),
      constraint agent_runs_pkey primary key (id)
    );
    alter table public.agent_runs enable row level security;
    revoke all on public.agent_runs from public, anon, authenticated, service_role;
    create index agent_runs_newest_of_org on public.agent_runs (org_id, created_at desc);

    comment on table public.agent_runs is
      'A process that works on jobs. Made by jobsdb: the host application had none.';
    comment on column public.agent_runs.id is 'Identity of the run; given by the database.';
    comment on column public.agent_runs.org_id is 'The organisation it works for.';
    comment on column public.agent_runs.status is 'State of the run, in the host''s own words.';
    comment on column public.agent_runs.started_at is 'When it started.';
    comment on column public.agent_runs.finished_at is 'When it ended.';
    comment on column public.agent_runs.created_at is 'When the row was made.';
  end if;
end;
$$;
