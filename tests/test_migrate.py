"""`jobsdb migrate` on real databases: before or after, never between, whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pglast
import psycopg
import pytest

from commands import catalog, database, differences, environment, run, start, writes
from helpers import new_database
from jobsdb import connect, errors, sqlfiles, wire
from jobsdb.check import checks
from jobsdb.deploy import adoption, migrate, preflight, transaction
from jobsdb.deploy.migrate import Event
from jobsdb.local import Server

FILES = sqlfiles.load()
MIGRATIONS = sqlfiles.migrations(FILES)
HOST_TABLES = """
create table public.kanban_cards (
  id uuid primary key default gen_random_uuid(), org_id uuid not null, type text not null,
  title text, state text not null default 'todo', content jsonb, created_at timestamptz,
  updated_at timestamptz, mood text
);
create table public.agent_runs (
  id uuid primary key default gen_random_uuid(), org_id uuid not null, status text,
  started_at timestamptz, finished_at timestamptz, created_at timestamptz
);
"""


def value(url: str, query: str):
    """Return the one value a query gives, on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(query).fetchone()[0]


def execute(url: str, query: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(query)


def ledger(url: str) -> dict[str, str]:
    with psycopg.connect(url, autocommit=True) as conn:
        return dict(conn.execute("select file, sha256 from jobsdb.ledger order by seq").fetchall())


def is_untouched(url: str) -> bool:
    """Whether nothing of jobsdb is in the database, no role apart."""
    query = "select to_regnamespace('jobsdb') is null and to_regprocedure('auth.uid()') is null"
    return value(url, query)


def refusal(url: str, *, files=FILES, **options) -> errors.JobsdbError:
    """Return the error with which a deployment fails."""
    with pytest.raises(errors.JobsdbError) as caught:
        migrate.migrate(url, files=files, **options)
    return caught.value


def changed(files, path: str, text: str):
    """Return the files with one of them ending in `text`."""
    found = [replace(f, text=f.text + text) if f.path == path else f for f in files]
    assert found != list(files)
    return found


def extra(files, path: str, text: str, kind: str = "present"):
    """Return the files with one more at the end."""
    return [*files, sqlfiles.SqlFile(path, kind, 3, text)]


NEXT = "migrations/20990101000000_next.sql"
CREATE_NEXT = "-- bundle 3\ncreate table jobsdb.next ();\n"


class TestDeploying:
    def test_a_fresh_database_gets_everything_in_one_transaction(self, empty_url: str) -> None:
        events: list[Event] = []
        result = migrate.migrate(empty_url, progress=events.append)
        assert result.applied == tuple(file.stem for file in MIGRATIONS)
        assert result.schema == "20251103000004"
        assert ledger(empty_url) == {file.path: file.sha256 for file in FILES}
        assert value(empty_url, "select count(distinct xmin::text) from jobsdb.ledger") == 1
        assert [event.kind for event in events] == ["connected", *["start"] * 7, *["done"] * 7]

    def test_a_second_run_does_nothing(self, url: str) -> None:
        before = catalog(url), ledger(url)
        result = migrate.migrate(url)
        assert (result.applied, result.refreshed, result.adopted) == ((), 0, ())
        assert (catalog(url), ledger(url)) == before
        assert not writes(url, lambda: migrate.migrate(url))

    def test_the_present_state_can_be_applied_twice(self, url: str) -> None:
        before = catalog(url)
        path = "functions/access/caller.sql"
        result = migrate.migrate(url, files=changed(FILES, path, "-- a comment\n"))
        assert (result.applied, result.refreshed > 50) == ((), True)
        assert catalog(url) == before
        query = f"select count(*) from jobsdb.ledger where file = '{path}'"
        assert value(url, query) == 2
        assert value(url, "select count(*) from jobsdb.ledger") == len(FILES) + 1

    def test_only_a_migration_that_is_missing_is_run(self, url: str) -> None:
        result = migrate.migrate(url, files=extra(FILES, NEXT, CREATE_NEXT, "migration"))
        assert result.applied == ("20990101000000_next",)
        assert result.schema == "20990101000000"

    def test_prerequisites_alone_install_nothing(self, empty_url: str) -> None:
        migrate.migrate(empty_url, only_prerequisites=True)
        assert value(empty_url, "select to_regprocedure('auth.uid()') is not null")
        assert value(empty_url, "select to_regnamespace('jobsdb') is null")
        assert value(empty_url, "select to_regclass('public.kanban_cards') is null")

    def test_hostile_defaults_of_the_database_change_nothing(
        self, empty_url: str, url: str
    ) -> None:
        name = database(empty_url)
        execute(empty_url, "create schema evil; create function evil.now() returns int return 1")
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "default_transaction_deferrable = on",
            "search_path = evil, pg_catalog, public",
            "statement_timeout = '1ms'",
            "lock_timeout = '1ms'",
            "idle_in_transaction_session_timeout = '1ms'",
            "standard_conforming_strings = off",
            "check_function_bodies = off",
            "transform_null_equals = on",
            "client_min_messages = debug1",
            "default_transaction_read_only = on",
        ):
            execute(empty_url, f"set transaction read write; alter database {name} set {setting}")
        migrate.migrate(empty_url)
        sane = "-c statement_timeout=0 -c default_transaction_read_only=off"
        with psycopg.connect(empty_url, autocommit=True, options=sane) as conn:
            conn.execute("drop schema evil cascade")
            conn.execute(f"alter database {name} reset all")
        assert differences(empty_url, url) == []


class TestRefusals:
    def test_an_edited_migration_is_refused(self, url: str) -> None:
        first = MIGRATIONS[0]
        edited = changed(FILES, first.path, "-- edited\n")
        before = catalog(url), ledger(url)
        refused = refusal(url, files=edited)
        assert refused.code == errors.Exit.REFUSED
        assert "20251103000000_create_jobs_system was edited" in refused.sentence
        assert first.sha256[:12] in refused.detail
        assert sqlfiles.migrations(edited)[0].sha256[:12] in refused.detail
        assert refused.at == f"sql/{first.path}"
        assert (catalog(url), ledger(url)) == before

    def test_a_database_with_an_unknown_migration_is_newer(self, url: str) -> None:
        refused = refusal(url, files=[file for file in FILES if file != MIGRATIONS[-1]])
        assert refused.code == errors.Exit.REFUSED
        assert refused.sentence == "the database is newer than this jobsdb"
        assert "20251103000004" in refused.detail

    def test_the_present_state_of_a_newer_release_is_not_taken_back(self, url: str) -> None:
        execute(url, "update jobsdb.ledger set release = '99.1'")
        assert migrate.migrate(url).refreshed == 0
        refused = refusal(url, files=changed(FILES, "functions/access/caller.sql", "-- old\n"))
        assert refused.code == errors.Exit.REFUSED
        assert "99.1" in refused.detail

    def test_a_migration_older_than_an_applied_one_is_refused(self, url: str) -> None:
        path = "migrations/20251103000001_a.sql"
        files = sorted(extra(FILES, path, CREATE_NEXT, "migration"), key=lambda f: f.path)
        refused = refusal(url, files=files)
        assert refused.code == errors.Exit.REFUSED
        assert "older" in refused.sentence

    def test_a_foreign_table_named_jobs_stops_it_and_stays(self, empty_url: str) -> None:
        execute(empty_url, "create table public.jobs (id int); insert into public.jobs values (7)")
        refused = refusal(empty_url)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert "public.jobs" in refused.detail
        assert "Rename" in refused.hint
        assert refused.at.startswith("sql/migrations/20251103000000_create_jobs_system.sql:")
        assert is_untouched(empty_url)
        assert value(empty_url, "select id from public.jobs") == 7

    def test_what_a_hand_run_migration_left_is_named(self, empty_url: str) -> None:
        migrate.migrate(empty_url, only_prerequisites=True)
        text = MIGRATIONS[0].text
        starts = [*wire.statement_starts(text), len(text)]
        codes = []
        with psycopg.connect(empty_url, autocommit=True) as conn:
            for begin, end in pairwise(starts):
                try:
                    conn.execute(text[begin:end])
                except psycopg.Error as exc:
                    codes.append(exc.sqlstate)
        assert codes[0] == "JB090"
        refused = refusal(empty_url)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert "run by hand" in refused.detail

    def test_a_foreign_view_on_ours_stops_it_and_is_named(self, url: str) -> None:
        execute(url, "create view public.report as select job_id from public.job_metrics")
        before = catalog(url)
        refused = refusal(url, files=changed(FILES, "functions/access/caller.sql", "-- x\n"))
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "2BP01")
        assert "public.report" in refused.detail
        assert refused.at.startswith("sql/removed.sql:")
        assert catalog(url) == before

    def test_no_privileges_is_said_and_nothing_is_done(self, empty_url: str) -> None:
        role = f"nobody_{os.getpid()}"
        execute(empty_url, f"create role {role} login")
        try:
            name = database(empty_url)
            execute(empty_url, f"revoke create on database {name} from public")
            refused = refusal(empty_url.replace("postgres@", f"{role}@"))
        finally:
            execute(empty_url, f"drop role {role}")
        assert (refused.code, refused.sqlstate) == (errors.Exit.CONNECT, "42501")
        assert (
            refused.hint == f"Have an administrator run: grant create on database {name} to {role};"
        )
        assert is_untouched(empty_url)

    def test_an_old_server_is_refused(
        self, empty_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connect, "OLDEST_SERVER", 990000)
        refused = refusal(empty_url)
        assert refused.code == errors.Exit.REFUSED
        assert "too old" in refused.sentence

    def test_a_read_replica_is_refused(
        self, empty_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preflight, "_WHERE", "select true, 1")
        refused = refusal(empty_url)
        assert refused.code == errors.Exit.REFUSED
        assert "replica" in refused.sentence
        assert is_untouched(empty_url)


class TestUnreleased:
    """An embedded database whose migrations were edited before there was a release."""

    @pytest.fixture
    def home(self, data_root: Path) -> Path:
        """Where the embedded PostgreSQL is, with a database that another tree made."""
        home = data_root / "with space"
        assert run("migrate", JOBSDB_HOME=str(home)).returncode == 0
        url = run("local", "url", JOBSDB_HOME=str(home)).stdout.strip()
        execute(
            url,
            "update jobsdb.ledger set sha256 = repeat('0', 64), release = '0.1.0'"
            f" where file = '{MIGRATIONS[0].path}'",
        )
        return home

    def test_it_is_said_how_to_throw_it_away_and_that_helps(
        self, home: Path, tmp_path: Path
    ) -> None:
        for command in (["demo"], ["migrate"], ["migrate", "--plan"]):
            told = run(*command, JOBSDB_HOME=str(home))
            assert told.returncode == errors.Exit.REFUSED
            assert "was edited after this database got it" in told.stderr
            assert "made by an unreleased jobsdb (0.1.0)" in told.stderr
        shell = told.stderr.partition("then run this again: ")[2].splitlines()[0]
        assert shell == f"jobsdb local stop && rm -r '{home}/default'"
        command = tmp_path / "jobsdb"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobsdb "$@"\n')
        command.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        subprocess.run(
            shell, shell=True, check=True, env=environment(PATH=path, JOBSDB_HOME=str(home))
        )
        assert run("migrate", JOBSDB_HOME=str(home)).returncode == 0

    def test_what_others_keep_is_never_to_be_thrown_away(self, home: Path) -> None:
        url = run("local", "url", JOBSDB_HOME=str(home)).stdout.strip()
        by_address = run("migrate", "-d", url, JOBSDB_HOME=str(home))
        execute(url, "update jobsdb.ledger set release = '1.0.0'")
        of_a_release = run("migrate", JOBSDB_HOME=str(home))
        for told in (by_address, of_a_release):
            assert told.returncode == errors.Exit.REFUSED
            assert "hint: Put the released file back" in told.stderr


class TestErrors:
    @pytest.mark.parametrize(
        ("statement", "sqlstate", "line"),
        [
            ("select 1;\nselec 1;", "42601", 3),
            ("select 1;\n\n-- why\nselect no_column from jobsdb.ledger;", "42703", 5),
            ("select 1;\n/* why */ do $x$ begin\nperform 1/0;\nend $x$;", "22012", 3),
            ("select '--;', e'\\';';\ncreate schema ok;\ncreate schema ok;", "42P06", 4),
            (
                "create function jobsdb.f(a int) returns int language sql\nbegin atomic\n"
                "  select case when a > 1 then 1 else 2 end;\n  select 2;\nend;\nselect 1/0;",
                "22012",
                7,
            ),
        ],
    )
    def test_an_sql_error_names_file_and_line(
        self, empty_url: str, statement: str, sqlstate: str, line: int
    ) -> None:
        path = "views/broken.sql"
        failed = refusal(empty_url, files=extra(FILES, path, f"-- bundle 3\n{statement}\n"))
        assert failed.sqlstate == sqlstate
        assert failed.at == f"sql/{path}:{line}"
        assert is_untouched(empty_url)

    def test_statements_are_told_apart_as_the_server_does(self) -> None:
        for file in FILES:
            slices = pglast.split(file.text, only_slices=True)
            starts = list(wire.statement_starts(file.text))
            assert len(starts) == len(slices), file.path
            for start_, found in zip(starts, slices, strict=True):
                assert found.start <= start_ < found.stop, file.path

    def test_a_full_disk_has_its_own_sentence(self, empty_url: str) -> None:
        text = "do $$ begin raise exception using errcode = '53100', message = 'no space'; end $$;"
        failed = refusal(empty_url, files=extra(FILES, "views/full.sql", f"-- bundle 3\n{text}\n"))
        assert (failed.code, failed.sentence) == (errors.Exit.SQL, "the server's disk is full")
        assert is_untouched(empty_url)

    def test_a_name_taken_has_its_own_sentence(self, empty_url: str) -> None:
        text = "-- bundle 3\ncreate table jobsdb.ledger ();\n"
        failed = refusal(empty_url, files=extra(FILES, "views/taken.sql", text))
        assert failed.code == errors.Exit.REFUSED
        assert 'relation "ledger" already exists' in failed.sentence
        assert "Do not ignore this" in failed.hint

    def test_a_lost_connection_is_no_success(self, empty_url: str) -> None:
        text = "-- bundle 3\nselect pg_terminate_backend(pg_backend_pid());\n"
        failed = refusal(empty_url, files=extra(FILES, "views/lost.sql", text))
        assert failed.code == errors.Exit.CONNECT
        assert is_untouched(empty_url)

    def test_a_slow_statement_is_stopped(self, empty_url: str) -> None:
        text = "-- bundle 3\nselect pg_sleep(20);\n"
        failed = refusal(empty_url, files=extra(FILES, "views/slow.sql", text), statement_timeout=2)
        assert failed.code == errors.Exit.SQL
        assert "--statement-timeout" in failed.hint
        assert failed.at == "sql/views/slow.sql:2"


@contextmanager
def locked(url: str, statement: str) -> Iterator[psycopg.Connection]:
    """Hold what a statement locks, in an open transaction."""
    with psycopg.connect(url) as conn:
        conn.execute(statement)
        yield conn
        conn.rollback()


class TestLocks:
    def test_a_lock_that_stays_is_given_up_and_its_holder_named(self, empty_url: str) -> None:
        execute(empty_url, HOST_TABLES)
        with locked(empty_url, "lock table public.kanban_cards in share mode") as holder:
            began = time.monotonic()
            failed = refusal(empty_url, wait=1.5, lock_timeout=0.2)
            assert 0.5 < time.monotonic() - began < 10
            assert failed.code == errors.Exit.LOCK
            assert f"process {holder.info.backend_pid} of postgres" in failed.detail
            assert "idle in transaction" in failed.detail
            assert "lock table public.kanban_cards" in failed.detail
            assert failed.note == migrate.UNCHANGED
        assert is_untouched(empty_url)

    def test_a_lock_that_goes_away_is_waited_for_without_blocking_others(
        self, empty_url: str
    ) -> None:
        execute(empty_url, HOST_TABLES)
        events: list[Event] = []
        slowest = 0.0
        with locked(empty_url, "lock table public.kanban_cards in share mode") as holder:
            deployer = threading.Thread(
                target=migrate.migrate,
                args=(empty_url,),
                kwargs={"lock_timeout": 0.1, "progress": events.append},
            )
            deployer.start()
            with psycopg.connect(empty_url, autocommit=True) as reader:
                for _ in range(30):
                    began = time.monotonic()
                    reader.execute("select count(*) from public.kanban_cards")
                    slowest = max(slowest, time.monotonic() - began)
                    time.sleep(0.05)
            assert is_untouched(empty_url)
            holder.rollback()
            deployer.join(timeout=60)
        assert set(ledger(empty_url)) == {file.path for file in FILES}
        assert slowest < 1.0
        assert "wait" in {event.kind for event in events}
        # What was rolled back was never reported as done.
        done = [event.text for event in events if event.kind == "done"]
        assert len(done) == len(set(done))

    def test_one_deployment_at_a_time(self, empty_url: str) -> None:
        lock = f"select pg_advisory_xact_lock({migrate.LOCK_KEY})"
        with locked(empty_url, lock) as holder:
            failed = refusal(empty_url, wait=0.5)
            assert f"process {holder.info.backend_pid} " in failed.detail
        assert failed.code == errors.Exit.LOCK
        assert "another deployment is still running" in failed.sentence
        assert is_untouched(empty_url)

    def test_a_secret_in_the_statement_of_the_holder_is_not_shown(self, empty_url: str) -> None:
        secret = f"select 'hunter2', pg_advisory_xact_lock({migrate.LOCK_KEY})"
        with locked(empty_url, secret):
            failed = refusal(empty_url, wait=0.2)
        assert "process" in failed.detail
        assert "hunter2" not in failed.detail

    def test_deployers_of_several_databases_do_not_disturb_each_other(
        self, empty_url: str, server: Server
    ) -> None:
        # Roles belong to the whole server: the prerequisites meet there.
        with new_database(server) as second, new_database(server) as third:
            urls = [empty_url, second, third]
            processes = [start("migrate", "-d", address) for address in urls]
            outputs = [process.communicate(timeout=120) for process in processes]
            assert [process.returncode for process in processes] == [0] * 3, outputs


class TestDying:
    def test_ctrl_c_while_it_waits_for_a_lock_leaves_nothing(self, empty_url: str) -> None:
        execute(empty_url, HOST_TABLES)
        waiting = (
            "select count(*) from pg_locks as l inner join pg_stat_activity as a using (pid)"
            " where not l.granted and a.application_name like 'jobsdb/%'"
        )
        with locked(empty_url, "lock table public.kanban_cards in share mode"):
            process = start("migrate", "-d", empty_url, "--lock-timeout", "60s")
            with psycopg.connect(empty_url, autocommit=True) as conn:
                while process.poll() is None and not conn.execute(waiting).fetchone()[0]:
                    time.sleep(0.01)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=30)
                assert process.returncode == errors.Exit.INTERRUPTED, err
                assert "error: interrupted" in err
                assert migrate.UNCHANGED in err
                assert "Traceback" not in err
                assert conn.execute(waiting).fetchone()[0] == 0
        assert is_untouched(empty_url)


WAITING = (
    "select count(*) from pg_stat_activity as a where a.wait_event_type = 'Lock'"
    " and a.datname = current_database() and a.application_name like 'jobsdb/%'"
)


class TestAdoption:
    """Big tables of the host application: indexes and validation follow the commit."""

    @pytest.fixture
    def big_url(self, empty_url: str) -> str:
        execute(empty_url, HOST_TABLES)
        execute(
            empty_url,
            "insert into public.kanban_cards (org_id, type) select gen_random_uuid(), 'x'"
            " from generate_series(1, 3000)",
        )
        return empty_url

    def is_finished(self, url: str) -> bool:
        with psycopg.connect(url, autocommit=True) as conn:
            return adoption.remaining(conn) == []

    def test_it_follows_the_commit_and_is_done_once(self, big_url: str) -> None:
        result = migrate.migrate(big_url)
        assert any("concurrently" in step for step in result.adopted)
        assert any("validate" in step for step in result.adopted)
        assert self.is_finished(big_url)
        assert migrate.migrate(big_url).adopted == ()

    def test_small_tables_are_adopted_in_the_transaction(self, empty_url: str) -> None:
        execute(empty_url, HOST_TABLES)
        assert migrate.migrate(empty_url).adopted == ()
        assert self.is_finished(empty_url)

    def test_an_invalid_index_is_built_anew(self, big_url: str) -> None:
        migrate.migrate(big_url)
        execute(
            big_url,
            "update pg_index set indisvalid = false"
            " where indexrelid = 'public.jobsdb_cards_of_job'::regclass",
        )
        result = migrate.migrate(big_url)
        assert [step.split()[0] for step in result.adopted] == ["drop", "create"]
        assert self.is_finished(big_url)

    def test_a_lock_in_the_way_leaves_it_unfinished_and_the_next_run_goes_on(
        self, big_url: str
    ) -> None:
        migrate.migrate(big_url)
        execute(
            big_url, "alter table public.kanban_cards drop constraint jobsdb_linked_card_has_org"
        )
        execute(
            big_url,
            "alter table public.kanban_cards add constraint jobsdb_linked_card_has_org"
            " check (job_id is null or org_id is not null) not valid",
        )
        with locked(big_url, "lock table public.kanban_cards in share row exclusive mode"):
            failed = refusal(big_url, wait=0.5, lock_timeout=0.1)
        assert failed.code == errors.Exit.LOCK
        assert "unfinished" in failed.note
        assert len(migrate.migrate(big_url).adopted) == 1

    def test_ctrl_c_leaves_it_unfinished_and_the_next_run_goes_on(self, big_url: str) -> None:
        migrate.migrate(big_url)
        execute(big_url, "drop index public.jobsdb_cards_of_job")
        # The build of an index waits for transactions that write to the table.
        insert = "insert into public.kanban_cards (org_id, type) values (gen_random_uuid(), 'x')"
        with locked(big_url, insert):
            process = start("migrate", "-d", big_url)
            with psycopg.connect(big_url, autocommit=True) as conn:
                while process.poll() is None and not conn.execute(WAITING).fetchone()[0]:
                    time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == errors.Exit.INTERRUPTED, err
        assert "adopting the host's tables is unfinished" in err
        assert [step.split()[0] for step in migrate.migrate(big_url).adopted] == ["drop", "create"]
        assert self.is_finished(big_url)

    def test_two_at_once_share_the_work(self, big_url: str) -> None:
        processes = [start("migrate", "-d", big_url) for _ in range(3)]
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0] * 3, outputs
        assert self.is_finished(big_url)

    def test_what_somebody_else_finished_meanwhile_is_not_begun_again(
        self, big_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between a look at what remains and the lock, another deployment ends."""
        migrate.migrate(big_url)
        execute(big_url, "drop index public.jobsdb_cards_of_job")
        read = adoption.remaining
        looks: list[list[str]] = []

        def remaining(conn: psycopg.Connection, role: str | None = None) -> list[str]:
            looks.append(read(conn, role))
            if len(looks) == 2:
                execute(big_url, looks[-1][0])
            return looks[-1]

        monkeypatch.setattr(adoption, "remaining", remaining)
        assert migrate.migrate(big_url).adopted == ()
        assert looks[1]
        assert not looks[-1]

    def test_a_read_only_default_does_not_stop_it(self, big_url: str) -> None:
        name = database(big_url)
        execute(big_url, f"alter database {name} set default_transaction_read_only = on")
        assert migrate.migrate(big_url).adopted


@contextmanager
def pgbouncer(server: Server, folder: Path) -> Iterator[Callable[[str], str]]:
    """Run PgBouncer in transaction mode; the value gives the address of a database through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    owner = Path(server.socket_dir).stat().st_uid
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(f"""
[databases]
* = host={server.socket_dir} port={server.port} user=postgres
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 4
""")
    os.chown(folder, owner, -1)
    process = subprocess.Popen(
        [program, folder / "pgbouncer.ini"],
        stderr=subprocess.DEVNULL,
        user=owner if os.geteuid() == 0 else None,
    )
    try:
        while not (folder / ".s.PGSQL.6432").exists():
            assert process.poll() is None, "PgBouncer did not start"
            time.sleep(0.05)
        yield lambda name: f"postgresql://postgres@/{name}?host={folder}&port=6432"
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def pooled_url(empty_url: str, server: Server, data_root: Path) -> Iterator[str]:
    """Return the address of the same database through PgBouncer in transaction mode."""
    with pgbouncer(server, data_root) as address:
        yield address(database(empty_url))


class TestPooler:
    def test_it_works_through_a_transaction_pooler(self, pooled_url: str, url: str) -> None:
        processes = [start("migrate", "-d", pooled_url) for _ in range(3)]
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0] * 3, outputs
        assert migrate.migrate(pooled_url).applied == ()
        with connect.connect(pooled_url) as conn:
            assert connect.behind_pooler(conn)
            left = (
                "select array_agg(name) from pg_settings where source = 'session' and name in"
                " ('search_path', 'lock_timeout', 'statement_timeout', 'client_min_messages')"
            )
            assert conn.execute(left).fetchone()[0] is None
            locks = "select count(*) from pg_locks where locktype = 'advisory'"
            assert conn.execute(locks).fetchone()[0] == 0
        assert differences(pooled_url, url) == []

    def test_big_tables_are_adopted_through_it(self, pooled_url: str) -> None:
        execute(pooled_url, HOST_TABLES)
        execute(
            pooled_url,
            "insert into public.kanban_cards (org_id, type) select gen_random_uuid(), 'x'"
            " from generate_series(1, 3000)",
        )
        assert migrate.migrate(pooled_url).adopted


def test_a_wait_longer_than_a_moment_is_told_when_piped(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "TELL_AFTER_S", 0.2)
    events: list[Event] = []
    with locked(empty_url, f"select pg_advisory_xact_lock({migrate.LOCK_KEY})"):
        refusal(empty_url, wait=1, progress=events.append)
    notes = [event.text for event in events if event.kind == "note"]
    assert len(notes) == 1
    assert "still waiting: process" in notes[0]


def test_the_command_says_what_it_did(empty_url: str) -> None:
    first = run("migrate", "-d", empty_url)
    assert first.returncode == 0, first.stderr
    assert first.stdout == "5 migrations applied. Schema is at 20251103000004.\n"
    lines = first.stderr.splitlines()
    assert lines[0].startswith("connected to postgres@")
    assert "PostgreSQL 1" in lines[0]
    assert lines[1].startswith("  + 20251103000000_create_jobs_system ....")
    assert " ok " in lines[1]
    assert lines[-1] == "next: jobsdb verify"
    second = run("migrate", "-d", empty_url)
    assert second.stdout == "Nothing to do. Schema is at 20251103000004.\n"


def test_whatever_has_a_name_of_ours_is_in_the_way(empty_url: str) -> None:
    """Functions too: `create or replace` would take the place of one with the same arguments."""
    ours = {name.removeprefix("public.") for name, _ in checks.expected_facts()["ours"]}
    functions = ours - {
        "jobs", "job_tasks", "job_tasks_id_seq", "job_metrics", "job_metrics_live",
        "job_performance_summary", "recent_job_activity", "review_queue", "job_status",
        "task_status", "kanban_cards", "agent_runs",
    }  # fmt: skip
    assert len(functions) > 30
    with psycopg.connect(empty_url, autocommit=True) as conn:
        for name in functions:
            conn.execute(f"create function public.{name}() returns int language sql as 'select 1'")
        conn.execute("create view public.review_queue as select 1 as one")
        with pytest.raises(errors.JobsdbError) as info:
            migrate.migrate(empty_url)
        assert info.value.sqlstate == "JB092"
        for name in (*functions, "review_queue"):
            assert f"public.{name} (" in (info.value.detail or "")
        conn.execute("drop view public.review_queue")
        assert conn.execute("select to_regnamespace('jobsdb')").fetchone() == (None,)
