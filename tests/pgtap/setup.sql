-- pgTAP in a schema of its own, and who speaks: PostgREST's way to say it.
create schema tap;
grant usage on schema tap to public;
create extension pgtap with schema tap;

create function tap.speaks(role_name text, sub uuid default null)
returns void
language plpgsql
as $$
begin
  perform set_config('role', role_name, true);
  perform set_config(
    'request.jwt.claims', json_build_object('role', role_name, 'sub', sub)::text, true
  );
end;
$$;

create function tap.ann() returns void language sql
as $$ select tap.speaks('authenticated', '00000000-0000-4000-8000-00000000000a') $$;
create function tap.bob() returns void language sql
as $$ select tap.speaks('authenticated', '00000000-0000-4000-8000-00000000000b') $$;
create function tap.agent() returns void language sql
as $$ select tap.speaks('service_role') $$;
create function tap.stranger() returns void language sql
as $$ select tap.speaks('anon') $$;
