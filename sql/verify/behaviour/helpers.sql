-- The words the proofs of this folder are written in. They live in a schema of their own for as
-- long as the transaction, which is rolled back. Each assertion is one row: verdict (null: not
-- tried), what was asserted, expected, got. A statement that fails, or must not last, leaves
-- nothing behind.
--
-- In a statement {name} stands for a value that `keeps` has kept: {a} and {b} are the two tenants.
create schema jobsdb_proof;
grant usage on schema jobsdb_proof to anon, authenticated, service_role;

create type jobsdb_proof.proved as (verdict boolean, assertion text, expected text, got text);

create function jobsdb_proof.keep(name text, value text)
returns void
language plpgsql
as $$
begin
  perform set_config('jobsdb_proof.' || keep.name, keep.value, true);
end;
$$;

-- As PostgREST does: a role and the claims of a token that the gateway has checked.
create function jobsdb_proof.act_as(who text)
returns void
language plpgsql
as $$
declare
  v_role text := case act_as.who
    when 'owner' then 'none'
    when 'agent' then 'service_role'
    when 'nobody' then 'anon'
    else 'authenticated'
  end;
  v_sub text := current_setting('jobsdb_proof.' || act_as.who, true);
begin
  perform set_config('role', v_role, true);
  perform set_config('request.jwt.claim.sub', '', true);
  perform set_config(
    'request.jwt.claims',
    jsonb_strip_nulls(jsonb_build_object('role', v_role, 'sub', nullif(v_sub, '')))::text,
    true
  );
end;
$$;

create function jobsdb_proof.filled(statement text)
returns text
language plpgsql
as $$
declare
  v_text text := filled.statement;
  v_name text;
begin
  for v_name in
    select distinct m.parts[1]
    from regexp_matches(filled.statement, '\{([a-z_]+)\}', 'g') as m (parts)
  loop
    v_text := replace(v_text, '{' || v_name || '}', quote_nullable(current_setting('jobsdb_proof.' || v_name, true)));
  end loop;
  return v_text;
end;
$$;

-- ok, "no row", or the SQLSTATE and text of the error; whatever it did is taken back.
create function jobsdb_proof.outcome(statement text)
returns text
language plpgsql
as $$
declare
  v_rows bigint;
  v_detail text;
  v_hint text;
begin
  begin
    execute jobsdb_proof.filled(outcome.statement);
    get diagnostics v_rows = row_count;
    raise exception using errcode = 'PR00F';
  exception
    when sqlstate 'PR00F' then
      return case when v_rows = 0 then 'no row' else 'ok' end;
    when lock_not_available then
      raise;  -- somebody else is at work: that proves nothing
    when others then
      get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
      if sqlstate like 'JB%' and (v_detail = '' or v_hint = '') then
        return sqlstate || ' without a detail or hint: ' || sqlerrm;
      end if;
      return sqlstate || ': ' || sqlerrm;
  end;
end;
$$;

create function jobsdb_proof.judge(assertion text, expected text, got text, verdict boolean)
returns jobsdb_proof.proved
language plpgsql
as $$
begin
  return (
    case when current_setting('jobsdb_proof.impossible', true) = 'yes' then null else judge.verdict end,
    judge.assertion,
    judge.expected,
    judge.got
  );
end;
$$;

-- The statement works and lasts.
create function jobsdb_proof.does(assertion text, statement text)
returns setof jobsdb_proof.proved
language plpgsql
as $$
declare
  v_rows bigint;
begin
  execute jobsdb_proof.filled(does.statement);
  get diagnostics v_rows = row_count;
  return next jobsdb_proof.judge(
    does.assertion, 'ok', case when v_rows = 0 then 'no row' else 'ok' end, v_rows > 0
  );
exception
  when lock_not_available then
    raise;
  when others then
    return next jobsdb_proof.judge(does.assertion, 'ok', sqlstate || ': ' || sqlerrm, false);
end;
$$;

-- The statement works, lasts, and its value is kept under a name.
create function jobsdb_proof.keeps(name text, assertion text, statement text)
returns setof jobsdb_proof.proved
language plpgsql
as $$
declare
  v_value text;
begin
  execute jobsdb_proof.filled(keeps.statement) into v_value;
  perform jobsdb_proof.keep(keeps.name, v_value);
  return next jobsdb_proof.judge(keeps.assertion, 'a value', coalesce(v_value, 'none'), v_value is not null);
exception
  when lock_not_available then
    raise;
  when others then
    return next jobsdb_proof.judge(keeps.assertion, 'a value', sqlstate || ': ' || sqlerrm, false);
end;
$$;

-- As keeps, but when the host's table does not take it, the rest of the file is not tried.
create function jobsdb_proof.supposes(name text, assertion text, statement text)
returns setof jobsdb_proof.proved
language plpgsql
as $$
declare
  v_outcome text := jobsdb_proof.outcome(supposes.statement);
begin
  if v_outcome <> 'ok' and v_outcome not like 'JB%' then
    perform jobsdb_proof.keep('impossible', 'yes');
    return next jobsdb_proof.judge(supposes.assertion, 'a value', v_outcome, null);
  else
    return query select p.* from jobsdb_proof.keeps(supposes.name, supposes.assertion, supposes.statement) as p;
  end if;
end;
$$;

-- The outcome begins with what is expected: ok, "no row", or an SQLSTATE; several separated by |.
create function jobsdb_proof.ends(assertion text, expected text, statement text)
returns setof jobsdb_proof.proved
language plpgsql
as $$
declare
  v_outcome text := jobsdb_proof.outcome(ends.statement);
begin
  return next jobsdb_proof.judge(
    ends.assertion, ends.expected, v_outcome, v_outcome ~ format('^(%s)(:|$)', ends.expected)
  );
end;
$$;

-- The first value of the first row, as text, is what is expected.
create function jobsdb_proof.gives(assertion text, expected text, statement text)
returns setof jobsdb_proof.proved
language plpgsql
as $$
declare
  v_value text;
begin
  execute jobsdb_proof.filled(gives.statement) into v_value;
  return next jobsdb_proof.judge(
    gives.assertion, coalesce(gives.expected, 'null'), coalesce(v_value, 'null'), v_value is not distinct from gives.expected
  );
exception
  when lock_not_available then
    raise;
  when others then
    return next jobsdb_proof.judge(gives.assertion, gives.expected, sqlstate || ': ' || sqlerrm, false);
end;
$$;

grant execute on all functions in schema jobsdb_proof to anon, authenticated, service_role;
