-- For `jobsdb verify --local` only: who deploys. The database is its own, and it has what the role
-- postgres has on Supabase. While the application's migrations run it is a superuser: what Supabase
-- lets that role do beyond its rights, such as making extensions, is not played here. Then it is an
-- ordinary role, and deploys jobsdb.
create role deployer login superuser createdb createrole bypassrls;
do $$
begin
  grant anon, authenticated, service_role to deployer with admin option;
  execute format('alter database %I owner to deployer', current_database());
  alter publication supabase_realtime owner to deployer;
end;
$$;

grant all on schema auth, extensions to deployer;
grant all on all tables in schema auth to deployer;

-- Whatever it creates in schema public is everybody's until it is revoked, as in supabase.sql.
alter default privileges for role deployer in schema public
grant all on tables to anon, authenticated, service_role;
alter default privileges for role deployer in schema public
grant all on functions to anon, authenticated, service_role;
alter default privileges for role deployer in schema public
grant all on sequences to anon, authenticated, service_role;
