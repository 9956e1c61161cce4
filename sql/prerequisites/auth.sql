-- bundle 1
-- auth.uid(), the identity of the caller, where nobody provides it. On Supabase it exists, belongs
-- to somebody else and is left alone. Whoever can send SQL can set these settings: the identity is
-- as trustworthy as the gateway that sets them, so give tenants no direct SQL login.
do $$
begin
  if to_regprocedure('auth.uid()') is not null then
    return;
  end if;

  if to_regnamespace('auth') is null then
    create schema auth;
    comment on schema auth is 'Identity of the caller, as Supabase has it; made by jobsdb because it was missing.';
  end if;
  grant usage on schema auth to anon, authenticated, service_role;

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
  comment on function auth.uid() is
    'The id of the user whose JWT the gateway checked, null when there is none; made by jobsdb because it was missing.';
end;
$$;
