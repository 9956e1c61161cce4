-- bundle 1
-- The three roles Supabase has, where they are missing. Roles belong to the whole cluster, so
-- another database's deployment may create them at the same moment: that is fine, not an error.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_catalog.pg_roles as r where r.rolname = v_role) then
      begin
        execute format('create role %I nologin', v_role);
      exception
        when duplicate_object or unique_violation then
          null;  -- somebody else was faster
      end;
      -- From 16 on a role's creator may administer it but not become it without being told so.
      if current_setting('server_version_num')::int >= 160000
        and not pg_catalog.pg_has_role(current_user, v_role, 'SET') then
        execute format('grant %I to current_user with set true', v_role);
      end if;
    end if;
  end loop;
end;
$$;
