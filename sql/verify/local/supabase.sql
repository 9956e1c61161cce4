-- For `jobsdb verify --local` only: what migrations of an application on Supabase count on, beside
-- the roles and auth.uid(), which sql/prerequisites/ makes. A stand-in, with the same names.
alter role service_role bypassrls;

create schema extensions;
grant usage on schema extensions to public;

create table auth.users (
  id uuid not null default gen_random_uuid(),
  email text,
  phone text,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint users_pkey primary key (id)
);

create function auth.jwt()
returns jsonb
language sql
stable
set search_path to pg_catalog, pg_temp
as $$
  select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb
$$;

create function auth.role()
returns text
language sql
stable
set search_path to pg_catalog, pg_temp
as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
$$;

create function auth.email()
returns text
language sql
stable
set search_path to pg_catalog, pg_temp
as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
$$;

create publication supabase_realtime;

-- Whatever is created in schema public is everybody's until it is revoked.
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public
grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public
grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public
grant all on sequences to anon, authenticated, service_role;
