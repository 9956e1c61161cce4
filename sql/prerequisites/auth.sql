-- bundle 1
-- auth.uid(), the identity of the caller, where nobody provides it. On Supabase it exists, belongs
-- to somebody else and is left alone. Whoever can send SQL can set these settings: the identity is
-- as trustworthy as the gateway that sets them, so give tenants no direct SQL login.
do $$
declare
  v_granted text;
begin
  if to_regprocedure('auth.uid()') is not null then
    return;
  end if;

  if to_regnamespace('auth') is null then
    create schema auth;
    comment on schema auth is 'Identity of the caller, as Supabase has it; made by jobsdb because it was missing.';
  end if;
  -- Noted in the comment below, so that uninstalling takes back this and nothing of the host's.
  select string_agg(r.rolname, ', ' order by r.rolname)
  into v_granted
  from pg_catalog.pg_roles as r
  where r.rolname in ('anon', 'authenticated', 'service_role')
    and not has_schema_privilege(r.oid, 'auth', 'usage');
  if v_granted is not null then
    execute format('grant usage on schema auth to %s', v_granted);
  end if;

  create function auth.uid()
  returns uuid
  language sql
  stable
  parallel safe
  security invoker
  as $uid$
    select coalesce(
      nullif(current_setting('request.jwt.claim.sub', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
  $uid$;
  execute format(
    'comment on function auth.uid() is %L',
    'The id of the user whose JWT the gateway checked, null when there is none; made by jobsdb'
    || ' because it was missing.'
    || coalesce(format(' Usage of schema auth was granted to %s.', v_granted), '')
  );
end;
$$;
