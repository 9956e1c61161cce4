-- A host application's own two tables, as small as they can be: on a database that has them the
-- locks of a deployment are measured (python -m jobsdb.check.golden).
create table public.kanban_cards (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null,
  type text not null,
  title text,
  state text not null default 'todo',
  content jsonb,
  created_at timestamptz,
  updated_at timestamptz
);
create table public.agent_runs (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null,
  status text,
  started_at timestamptz,
  finished_at timestamptz,
  created_at timestamptz
);
