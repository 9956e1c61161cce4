-- jobsdb bundle @NUMBER@ of @COUNT@: @NAME@
-- Written by `jobsdb bundle` (release @RELEASE@); do not edit it, write it again.
--
-- What it is: @WHAT@.
-- One of @COUNT@ files that install jobsdb by hand. They are run in the order of their names:
@ORDER@
--
-- How to run it, whichever you prefer:
--   psql URL -f @NAME@
--   paste it into an SQL editor and run it
--   put all of them into supabase/migrations and run `supabase db push`
--
-- It is one statement: it is done as a whole or not at all. Run again it does nothing but say so; in
-- the wrong order it is refused. `jobsdb migrate` and `jobsdb verify` go on from what it records.
--
-- Contents, with the SHA-256 of each file:
@CONTENTS@
do $@TAG@$
declare
  v_names constant text[] := array[
    'jobsdb.runner', 'client_min_messages', 'lock_timeout', 'check_function_bodies',
    'standard_conforming_strings', 'transform_null_equals'
  ];
  v_values constant text[] := array[
    pg_catalog.pg_current_xact_id()::text, 'warning', '2s', 'on', 'on', 'off'
  ];
  v_file constant text := '@FILE@';
  v_sha256 constant text := '@SHA256@';
  v_needs text := @NEEDS@;
  v_before text[];
  v_path text;
  v_recorded text;
  v_installed bool := false;
  v_message text := 'jobsdb: file @NUMBER@ of @COUNT@ is installed';
  v_hint text := '@NEXT@';
begin
  -- What it sets is put back at the end: more may follow in the same transaction.
  v_path := pg_catalog.current_setting('search_path');
  perform pg_catalog.set_config('search_path', '', true);
  v_before := array(
    select coalesce(current_setting(n.name, true), '')
    from unnest(v_names) with ordinality as n (name, place)
    order by n.place
  );

  if current_setting('server_version_num')::int < 150000 then
    raise exception using
      errcode = 'JB090',
      message = format(
        'PostgreSQL %s is too old for jobsdb', current_setting('server_version')
      ),
      hint = 'jobsdb needs PostgreSQL 15 or newer.';
  end if;

  -- One deployment at a time; `jobsdb migrate` takes the same lock.
  perform set_config('lock_timeout', '60s', true);
  perform pg_advisory_xact_lock(@LOCK@);
  perform set_config(s.name, s.value, true) from unnest(v_names, v_values) as s (name, value);

  if to_regclass('jobsdb.ledger') is not null then
    v_recorded := (
      select l.sha256 from jobsdb.ledger as l where l.file = v_file order by l.seq desc limit 1
    );
    if v_needs is not null
      and exists (select from jobsdb.ledger as l where l.file = 'migrations/' || v_needs) then
      v_needs := null;
    end if;
  end if;

  if v_recorded = v_sha256 then
    v_message := 'jobsdb: file @NUMBER@ of @COUNT@ was installed before, nothing to do';
  elsif v_recorded is not null then
    raise exception using
      errcode = 'JB090',
      message = 'the migration "@FILE@" was edited after this database got it',
      detail = format(
        'Applied as %s, now %s.', left(v_recorded, 12), left(v_sha256, 12)
      ),
      hint = 'Write the files again with the release that is installed, or run `jobsdb migrate`.';
  elsif v_needs is not null then
    raise exception using
      errcode = 'JB090',
      message = format('this file needs "%s" first', v_needs),
      detail = 'The ledger of this database does not list it.',
      hint = 'Run the files in the order of their names, or run `jobsdb migrate`.';
  else
@EXECUTES@
    perform jobsdb.record_applied(
      array[
@FILES@
      ],
      array[
@HASHES@
      ],
      '@RELEASE@',
      'bundle'
    );
    notify pgrst, 'reload schema';
    v_installed := true;
  end if;

  perform set_config(s.name, s.value, true) from unnest(v_names, v_before) as s (name, value);
  if v_installed and @NUMBER@ = 2 then
    perform jobsdb.adopt_in_place(100000);
  end if;
  perform pg_catalog.set_config('search_path', v_path, true);
  raise notice using message = v_message, hint = v_hint;
end;
$@TAG@$;
