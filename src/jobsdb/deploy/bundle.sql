-- jobsdb bundle @TITLE@: @NAME@
-- Written by `jobsdb bundle` (release @RELEASE@); do not edit it, write it again.
--
-- What it is: @WHAT@.
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
    'standard_conforming_strings', 'transform_null_equals', 'quote_all_identifiers'
  ];
  v_values text[];
  v_before text[];
  v_path text;
  v_release constant text := '@RELEASE@';
  v_needs constant text[] := array[@NEEDS@]::text[];
  v_needs_sha256 constant text[] := array[@NEEDS_HASHES@]::text[];
  v_files constant text[] := array[
@FILES@
  ];
  v_sha256 constant text[] := array[
@HASHES@
  ];
  v_known jsonb := '{}';
  v_wanted record;
  v_newest int[];
  v_other bigint;
  v_cr constant text := pg_catalog.chr(13);
  v_installed bool := false;
  v_message text;
  v_hint text := '@NEXT@';
begin
  -- What the session may have that one statement cannot change is refused before anything happens.
  if pg_catalog.current_setting('server_version_num')::int < 150000 then
    raise exception using
      errcode = 'JB090',
      message = pg_catalog.format(
        'PostgreSQL %s is too old for jobsdb', pg_catalog.current_setting('server_version')
      ),
      hint = 'jobsdb needs PostgreSQL 15 or newer.';
  end if;
  if pg_catalog.pg_is_in_recovery() then
    raise exception using
      errcode = 'JB090',
      message = 'this server is a read replica',
      detail = 'Nothing was changed.',
      hint = 'Deploy to the primary server; the replica follows by itself.';
  end if;
  if pg_catalog.current_setting('transaction_read_only')::bool then
    raise exception using
      errcode = 'JB090',
      message = 'jobsdb cannot be installed in a transaction that only reads',
      detail = 'default_transaction_read_only is on for this role, database or session.',
      hint = 'Run `set default_transaction_read_only = off;` by itself first, in the same session'
        ' (psql: PGOPTIONS="-c default_transaction_read_only=off"), or run `jobsdb migrate`.';
  end if;
  if pg_catalog.current_setting('statement_timeout')::interval > '0'
    and pg_catalog.current_setting('statement_timeout')::interval < '5s' then
    raise exception using
      errcode = 'JB090',
      message = pg_catalog.format(
        'a statement_timeout of %s is too short for installing jobsdb',
        pg_catalog.current_setting('statement_timeout')
      ),
      detail = 'This file is one statement, and its clock is running already.',
      hint = 'Run `set statement_timeout = 0;` first, in the same session (psql:'
        ' PGOPTIONS="-c statement_timeout=0"), or run `jobsdb migrate`.';
  end if;
  if pg_catalog.current_setting('server_encoding') in ('UTF8', 'SQL_ASCII')
    and pg_catalog.octet_length('…') <> 3 then
    raise exception using
      errcode = 'JB090',
      message = pg_catalog.format(
        'this file was sent as %s, but it is UTF-8',
        pg_catalog.current_setting('client_encoding')
      ),
      detail = 'Its texts would be changed on their way.',
      hint = 'Run `set client_encoding = ''UTF8'';` first, in the same session (psql:'
        ' PGCLIENTENCODING=UTF8).';
  end if;

  -- What it sets is put back at the end: more may follow in the same transaction.
  v_path := pg_catalog.current_setting('search_path');
  perform pg_catalog.set_config('search_path', '', true);
  v_values := array[
    pg_current_xact_id()::text, 'warning', '2s', 'on', 'on', 'off', 'off'
  ];
  v_before := array(
    select coalesce(current_setting(n.name, true), '')
    from unnest(v_names) with ordinality as n (name, place)
    order by n.place
  );

  -- One deployment at a time; `jobsdb migrate` takes the same lock.
  perform set_config('lock_timeout', '60s', true);
  if current_setting('transaction_isolation') not in ('repeatable read', 'serializable') then
    perform pg_advisory_xact_lock(@LOCK@);
  elsif not pg_try_advisory_xact_lock(@LOCK@)
    or not exists (
      select from pg_class as c where c.oid = coalesce(to_regclass('jobsdb.ledger'), c.oid)
    ) then
    -- What another deployment does would stay unseen here: the snapshot is older than the lock.
    raise exception using
      errcode = 'JB090',
      message = 'another deployment is running',
      detail = format(
        'A transaction of level %s cannot wait for it.', current_setting('transaction_isolation')
      ),
      hint = 'Run this file again in a moment; nothing was changed.';
  end if;
  perform set_config(s.name, s.value, true) from unnest(v_names, v_values) as s (name, value);

  if to_regclass('jobsdb.ledger') is not null then
    select
      coalesce(jsonb_object_agg(l.file, l.sha256), '{}'),
      max(string_to_array(substring(l.release from '^[0-9]+(?:[.][0-9]+)*'), '.')::int[])
    into v_known, v_newest
    from (
      select distinct on (e.file) e.file, e.sha256, e.release
      from jobsdb.ledger as e
      order by e.file, e.seq desc
    ) as l;
  end if;
  v_other := (
    select count(*)
    from unnest(v_files, v_sha256) as f (file, sha256)
    where v_known ->> f.file is distinct from f.sha256
  );

  for v_wanted in
    select w.file, w.sha256, w.needed, v_known ->> w.file as recorded
    from (
      select n.file, n.sha256, true from unnest(v_needs, v_needs_sha256) as n (file, sha256)
      union all
      select f.file, f.sha256, false from unnest(v_files, v_sha256) as f (file, sha256)
    ) as w (file, sha256, needed)
    where w.file like 'migrations/%'
    order by w.file
  loop
    if v_wanted.recorded <> v_wanted.sha256 then
      raise exception using
        errcode = 'JB090',
        message = format(
          'the migration "%s" was edited after this database got it', v_wanted.file
        ),
        detail = format(
          'Applied as %s, now %s.', left(v_wanted.recorded, 12), left(v_wanted.sha256, 12)
        ),
        hint = 'Write the files again with the release that is installed, or run `jobsdb migrate`.';
    elsif v_wanted.needed and v_wanted.recorded is null then
      raise exception using
        errcode = 'JB090',
        message = format('this file needs "%s" first', split_part(v_wanted.file, '/', 2)),
        detail = 'The ledger of this database does not list it.',
        hint = 'Run the files in the order of their names, or run `jobsdb migrate`.';
    end if;
  end loop;

  if v_other = 0 then
    v_message := 'jobsdb: @FILE_N@ was installed before, nothing to do';
  elsif v_newest > string_to_array(substring(v_release from '^[0-9]+(?:[.][0-9]+)*'), '.')::int[] then
    v_message := format(
      'jobsdb: this database has release %s, newer than @FILE_N@, nothing to do',
      array_to_string(v_newest, '.')
    );
  elsif not @IS_UPDATE@ and v_known ? '@HEAD@' then
    v_message := format(
      'jobsdb: @FILE_N@ was installed before, nothing to do; %s of its parts are there in another'
      ' version', v_other
    );
    v_hint := 'Bring them up to date with `jobsdb migrate`, or with the file that `jobsdb bundle'
      ' --supabase DIR` writes into a folder that has the older ones.';
  else
@EXECUTES@
    perform jobsdb.record_applied(v_files, v_sha256, v_release, 'bundle');
    notify pgrst, 'reload schema';
    v_installed := true;
    v_message := 'jobsdb: @FILE_N@ is installed';
  end if;

  perform set_config(s.name, s.value, true) from unnest(v_names, v_before) as s (name, value);
  if v_installed and @ADOPTS@ then
    perform jobsdb.adopt_in_place(100000);
  end if;
  perform pg_catalog.set_config('search_path', v_path, true);
  raise notice using message = v_message, hint = v_hint;
end;
$@TAG@$;
