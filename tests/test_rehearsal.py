"""`jobsdb migrate` foretold, printed, rehearsed, and checked before it commits."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pglast
import psycopg
import pytest

from commands import catalog, database, differences, run
from helpers import BINDIR, new_database
from jobsdb import errors, local, sqlfiles, wire
from jobsdb.check import golden, verify
from jobsdb.deploy import locks, migrate, plan, postchecks, rehearsal, transaction
from jobsdb.deploy.migrate import Options
from jobsdb.local import Server
from test_migrate import (
    FILES,
    HOST_TABLES,
    MIGRATIONS,
    changed,
    execute,
    extra,
    is_untouched,
    ledger,
    locked,
    pooled_url,
    refusal,
    value,
)

__all__ = ["pooled_url"]

QUICK = Options(wait=0.5, lock_timeout=0.1)
MANY_CARDS = (
    "insert into public.kanban_cards (org_id, type) select gen_random_uuid(), 'x'"
    " from generate_series(1, 3000); analyze public.kanban_cards"
)
SEQUENCES = "select array_agg(s order by s.sequencename) from pg_sequences as s"


@pytest.fixture
def host_url(empty_url: str) -> str:
    """Return the URL of a database whose host has big tables of its own, and no jobsdb."""
    execute(empty_url, HOST_TABLES)
    execute(empty_url, MANY_CARDS)
    return empty_url


def blocking(found: list[locks.Lock]) -> dict[str, tuple[str, int | None]]:
    """Return mode and rows of the strongest lock of each table that somebody would wait for."""
    return {
        lock.table: (lock.mode, lock.rows)
        for lock in locks.strongest(found)
        if locks.BLOCKS[lock.mode] != "nothing"
    }


class TestPlan:
    def test_it_tells_files_statements_locks_and_rows_and_exits_with_1(self, host_url: str) -> None:
        before = catalog(host_url)
        done = run("migrate", "--plan", "-d", host_url)
        assert done.returncode == errors.Exit.NO, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        for migration in MIGRATIONS:
            assert [migration.stem, str(len(pglast.split(migration.text)))] in lines
        (cards,) = [x for x in done.stdout.splitlines() if x.startswith("  public.kanban_cards ")]
        assert cards.split()[1:6] == ["AccessExclusiveLock", "3,000", "reads", "and", "writes"]
        assert cards.endswith("migrations/20251103000001_add_job_links.sql")
        assert "Nothing was changed." in done.stdout
        assert catalog(host_url) == before

    def test_it_waits_for_no_lock_and_runs_on_a_read_only_database(self, host_url: str) -> None:
        name = database(host_url)
        execute(host_url, f"alter database {name} set default_transaction_read_only = on")
        everything = "lock table public.kanban_cards in access exclusive mode"
        key = f"select pg_advisory_xact_lock({migrate.LOCK_KEY})"
        with locked(host_url, f"set transaction read write; {everything}; {key}"):
            began = time.monotonic()
            found = plan.forecast(host_url, QUICK)
        assert found.pending
        assert time.monotonic() - began < 5

    def test_an_installed_database_has_nothing_planned_and_exits_with_0(self, url: str) -> None:
        done = run("migrate", "--plan", "-d", url)
        assert (done.returncode, done.stdout) == (
            0,
            "Nothing to do. Schema is at 20251103000004.\n",
        )
        found = json.loads(run("migrate", "--plan", "--json", "-d", url).stdout)
        assert (found["pending"], found["steps"], found["locks"]) == (False, [], [])

    def test_what_will_not_work_is_told_with_its_remedy(self, empty_url: str) -> None:
        role = f"planner_{os.getpid()}"
        execute(empty_url, f"create role {role} login")
        try:
            address = empty_url.replace("postgres@", f"{role}@")
            done = run("migrate", "--plan", "-d", address)
            told = json.loads(run("migrate", "--plan", "--json", "-d", address).stdout)
        finally:
            execute(empty_url, f"drop role {role}")
        remedy = f"grant create on database {database(empty_url)} to {role};"
        assert done.returncode == errors.Exit.CONNECT
        assert f"hint: Have an administrator run: {remedy}" in done.stderr
        assert remedy in told["problems"][0]["hint"]

    def test_what_the_run_would_refuse_is_refused(self, url: str) -> None:
        edited = changed(FILES, MIGRATIONS[0].path, "-- edited\n")
        with pytest.raises(errors.Refused, match="was edited"):
            plan.forecast(url, QUICK, files=edited)

    def test_the_locks_it_foretells_are_those_that_are_measured(
        self, empty_url: str, server: Server
    ) -> None:
        with new_database(server) as other:
            written = sqlfiles.migrate_text("locks.txt")
            assert golden.locks_as_text(empty_url, other) == written
        assert "\tpublic.kanban_cards\tAccessExclusiveLock\t" in written

    @pytest.mark.parametrize("host", [True, False])
    def test_a_rehearsal_finds_the_locks_that_were_foretold(
        self, empty_url: str, host: bool
    ) -> None:
        if host:
            execute(empty_url, HOST_TABLES)
            execute(empty_url, MANY_CARDS)
        for options in (Options(), Options(again=True)):
            foretold = blocking(plan.forecast(empty_url, options).locks)
            measured = blocking(rehearsal.rehearse(empty_url, options).locks)
            assert measured == foretold
            assert bool(foretold) is (host or options.again)
            migrate.migrate(empty_url)


class TestSql:
    def test_it_prints_what_psql_can_run_with_the_same_result(
        self, empty_url: str, url: str, tmp_path: Path
    ) -> None:
        psql = (BINDIR or Path("/usr/bin")) / "psql"
        if not psql.exists():
            pytest.skip("psql is not installed")
        done = run("migrate", "--sql", "-d", empty_url)
        assert done.returncode == 0, done.stderr
        assert is_untouched(empty_url)
        (tmp_path / "all.sql").write_text(done.stdout)
        arguments = [psql, empty_url, "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        subprocess.run([*arguments, "-f", tmp_path / "all.sql"], check=True, capture_output=True)
        assert differences(empty_url, url) == []
        assert ledger(empty_url) == ledger(url)
        assert migrate.migrate(empty_url).refreshed == 0

    def test_it_is_what_the_command_sends(
        self, empty_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = plan.text(empty_url, Options(again=True))
        sent: list[str] = []
        send, act = wire.send, wire.execute
        monkeypatch.setattr(
            wire, "send", lambda c, files: (sent.extend(f.text for f in files), send(c, files))[1]
        )
        monkeypatch.setattr(wire, "execute", lambda c, what: (sent.append(what), act(c, what))[1])
        migrate.migrate(empty_url, checks=False, again=True)
        assert len(sent) > len(FILES)
        place = 0
        for part in sent:
            place = text.index(part, place) + len(part)

    def test_it_names_the_role_and_says_when_there_is_nothing(self, url: str) -> None:
        assert run("migrate", "--sql", "-d", url).stdout == (
            "-- jobsdb migrate has nothing to do here\n"
        )
        text = run("migrate", "--sql", "--again", "--role", "postgres", "-d", url).stdout
        assert '\nset local role "postgres";\n' in text


class TestRehearsing:
    def test_nothing_is_changed_where_nothing_was(self, host_url: str) -> None:
        before = catalog(host_url), value(host_url, SEQUENCES)
        done = run("migrate", "--rehearse", "-d", host_url)
        assert done.returncode == 0, done.stderr
        assert "It was rolled back. Nothing was changed." in done.stdout
        assert "create index concurrently jobsdb_cards_of_job" in done.stdout
        assert (catalog(host_url), value(host_url, SEQUENCES)) == before
        left = "select count(*) from pg_locks where locktype = 'advisory'"
        assert value(host_url, left) == 0
        assert len(migrate.migrate(host_url).applied) == len(MIGRATIONS)

    def test_nothing_is_changed_where_everything_is_there(self, url: str) -> None:
        before = catalog(url), ledger(url), value(url, SEQUENCES)
        done = rehearsal.rehearse(url, Options(again=True))
        assert done.refreshed > 50
        assert (catalog(url), ledger(url), value(url, SEQUENCES)) == before
        assert not rehearsal.rehearse(url, Options()).locks

    def test_its_locks_and_times_are_those_somebody_else_sees(self, host_url: str) -> None:
        """A last file keeps everything for a second, in which another session looks."""
        slow = extra(FILES, "views/slow.sql", "-- bundle 3\nselect pg_sleep(1);\n")
        seen: set[tuple[str, str]] = set()
        waited: list[float] = []

        def look() -> None:
            asleep = (
                "select pid from pg_stat_activity where datname = current_database()"
                " and wait_event = 'PgSleep'"
            )
            held = (
                "select format('%%I.%%I', c.relnamespace::regnamespace, c.relname), l.mode"
                " from pg_locks as l join pg_class as c on c.oid = l.relation"
                " where l.pid = %s and l.granted and l.mode <> 'AccessShareLock'"
                " and c.relkind = 'r' and c.relnamespace = 'public'::regnamespace"
            )
            with psycopg.connect(host_url, autocommit=True) as conn:
                while (row := conn.execute(asleep).fetchone()) is None:
                    time.sleep(0.01)
                seen.update(conn.execute(held, row).fetchall())
            with psycopg.connect(host_url, autocommit=True) as conn:
                began = time.monotonic()
                conn.execute("select count(*) from public.kanban_cards")
                waited.append(time.monotonic() - began)

        watcher = threading.Thread(target=look)
        watcher.start()
        done = rehearsal.rehearse(host_url, Options(checks=False), files=slow)
        watcher.join(timeout=30)
        found = {(lock.table, lock.mode) for lock in done.locks}
        assert found == seen
        assert ("public.kanban_cards", "AccessExclusiveLock") in found
        (cards,) = [x for x in locks.strongest(done.locks) if x.table == "public.kanban_cards"]
        assert cards.rows == 3000
        assert cards.file == "migrations/20251103000001_add_job_links.sql"
        assert max(1000.0, waited[0] * 1000) <= cards.held_ms <= done.seconds * 1000

    def test_what_would_fail_fails_and_is_named(self, host_url: str) -> None:
        before = catalog(host_url)
        broken = extra(FILES, "views/broken.sql", "-- bundle 3\nselect 1/0;\n")
        with pytest.raises(errors.JobsdbError) as caught:
            rehearsal.rehearse(host_url, Options(), files=broken)
        assert (caught.value.code, caught.value.at) == (errors.Exit.SQL, "sql/views/broken.sql:2")
        assert catalog(host_url) == before

    def test_a_lock_in_the_way_ends_it_as_it_would_end_the_run(self, host_url: str) -> None:
        with (
            locked(host_url, "lock table public.kanban_cards in share mode"),
            pytest.raises(errors.LockError) as caught,
        ):
            rehearsal.rehearse(host_url, Options(wait=0.5, lock_timeout=0.1))
        assert caught.value.note == transaction.UNCHANGED

    def test_it_works_through_a_pooler(self, pooled_url: str) -> None:
        execute(pooled_url, HOST_TABLES)
        before = catalog(pooled_url)
        done = run("migrate", "--rehearse", "-d", pooled_url)
        assert done.returncode == 0, done.stderr
        assert ", through a connection pooler" in done.stderr.splitlines()[0]
        assert catalog(pooled_url) == before


class TestDocuments:
    @pytest.mark.parametrize("mode", [[], ["--plan"], ["--rehearse"], ["--prerequisites"]])
    def test_each_mode_is_one_document_with_a_version(self, host_url: str, mode: list[str]) -> None:
        done = run("migrate", "--json", *mode, "-d", host_url)
        told = json.loads(done.stdout)
        assert told["version"] == 1
        names = {"--plan": "plan", "--rehearse": "rehearsal", "--prerequisites": "prerequisites"}
        assert told["mode"] == (names[mode[0]] if mode else "run")
        assert told["database"]["name"] == database(host_url)
        assert told["package"]["schema"] == "20251103000004"
        assert done.returncode == (1 if mode == ["--plan"] else 0)
        if mode == ["--rehearse"]:
            assert told["changed"] is False
            assert {lock["table"] for lock in told["locks"]} == {
                "public.kanban_cards",
                "public.agent_runs",
            }
            assert all(lock["held_ms"] > 0 for lock in told["locks"])
        if not mode:
            assert told["changed"] is True
            assert told["applied"] == [file.stem for file in MIGRATIONS]
            assert told["adopted"]
            assert json.loads(run("migrate", "--json", "-d", host_url).stdout)["changed"] is False

    @pytest.mark.parametrize(
        "arguments", [["--plan", "--prerequisites"], ["--sql", "--json"], ["--role", " "]]
    )
    def test_what_means_nothing_is_a_usage_error(self, arguments: list[str]) -> None:
        done = run("migrate", *arguments, "-d", "host=/nonexistent")
        assert done.returncode == errors.Exit.USAGE, done.stderr


@pytest.fixture
def roles(host_url: str) -> Iterator[SimpleNamespace]:
    """Two roles on a host's database: one logs in, the other owns everything."""
    pid = os.getpid()
    names = SimpleNamespace(user=f"person_{pid}", owner=f"owner {pid}")
    quoted = f'"{names.owner}"'
    execute(host_url, f"create role {names.user} login noinherit; create role {quoted} createrole")
    execute(host_url, f"grant create on database {database(host_url)} to {quoted}")
    execute(host_url, f"grant create on schema public to {quoted}")
    for table in ("kanban_cards", "agent_runs"):
        execute(host_url, f"alter table public.{table} owner to {quoted}")
    names.url = host_url.replace("postgres@", f"{names.user}@")
    names.grant = f"grant {quoted} to {names.user}"
    names.admin = host_url
    yield names
    execute(host_url, f"drop owned by {quoted} cascade")
    execute(host_url, f"drop role {names.user}; drop role {quoted}")


class TestRole:
    def test_everything_belongs_to_it_and_big_tables_are_adopted(
        self, roles: SimpleNamespace
    ) -> None:
        with_rights = " with set true" if self.version(roles.admin) >= 160000 else ""
        execute(roles.admin, roles.grant + with_rights)
        assert run("migrate", "-d", roles.url).returncode == errors.Exit.CONNECT
        for mode in ("--plan", "--rehearse"):
            done = run("migrate", mode, "--role", roles.owner, "-d", roles.url)
            assert done.returncode == (1 if mode == "--plan" else 0), done.stderr
        done = run("migrate", "--role", roles.owner, "-d", roles.url)
        assert done.returncode == 0, done.stderr
        assert f", as role {roles.owner}" in done.stderr.splitlines()[0]
        assert "create index concurrently" in done.stderr
        owners = (
            "select array_agg(distinct relowner::regrole::text) from pg_class"
            " where relnamespace in ('jobsdb'::regnamespace, 'public'::regnamespace)"
        )
        assert value(roles.admin, owners) == [f'"{roles.owner}"']
        again = run("migrate", "--role", roles.owner, "-d", roles.url)
        assert again.stdout.startswith("Nothing to do.")

    def test_a_role_one_is_not_a_member_of_is_refused_with_the_grant(
        self, roles: SimpleNamespace
    ) -> None:
        done = run("migrate", "--role", roles.owner, "-d", roles.url)
        assert done.returncode == errors.Exit.CONNECT
        assert f'error: {roles.user} may not act as role "{roles.owner}"' in done.stderr
        assert f'hint: Have an administrator run: grant "{roles.owner}" to "{roles.user}"' in (
            done.stderr
        )
        unknown = run("migrate", "--role", "nobody_knows", "-d", roles.url)
        assert unknown.returncode == errors.Exit.CONNECT
        assert 'there is no role "nobody_knows"' in unknown.stderr

    def test_the_grant_that_is_named_is_enough(self, roles: SimpleNamespace) -> None:
        refused = refusal(roles.url, role=roles.owner)
        execute(roles.admin, refused.hint.partition(": ")[2])
        assert migrate.migrate(roles.url, role=roles.owner).applied

    def test_tables_of_somebody_else_are_named_with_the_grant(self, roles: SimpleNamespace) -> None:
        name = database(roles.admin)
        execute(roles.admin, f"grant create on database {name} to {roles.user}")
        execute(roles.admin, f"grant create on schema public to {roles.user}")
        migrate.migrate(roles.admin, only_prerequisites=True)
        try:
            refused = refusal(roles.url)
        finally:
            execute(roles.admin, f"drop owned by {roles.user}")
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert refused.detail == f'public.agent_runs belongs to "{roles.owner}"'
        assert refused.hint.endswith(f'grant "{roles.owner}" to {roles.user};')

    def version(self, url: str) -> int:
        return int(value(url, "show server_version_num"))


GRANTED = "-- bundle 3\ngrant select on public.jobs to anon;\n"


class TestChecks:
    def test_a_result_that_would_not_verify_is_rolled_back_and_named(
        self, empty_url: str, url: str
    ) -> None:
        files = extra(FILES, "views/granted.sql", GRANTED)
        refused = refusal(empty_url, files=files, checks=True)
        assert refused.code == errors.Exit.REFUSED
        assert "3080 Every role has exactly its rights: public.jobs" in refused.detail
        assert "revoke select on table public.jobs from anon;" in refused.detail
        assert "--no-checks" in refused.hint
        assert refused.note == transaction.UNCHANGED
        assert is_untouched(empty_url)
        before = catalog(url), ledger(url)
        assert refusal(url, files=files, checks=True).code == errors.Exit.REFUSED
        assert (catalog(url), ledger(url)) == before

    def test_the_command_checks_unless_it_is_told_not_to(self, url: str) -> None:
        """Something outside undoes what is deployed: an event trigger of the host."""
        execute(
            url,
            "create function public.meddle() returns event_trigger language plpgsql as $$"
            " begin if tg_tag = 'CREATE POLICY' then"
            " execute 'alter table public.jobs disable row level security'; end if; end $$;"
            " create event trigger meddling on ddl_command_end execute function public.meddle()",
        )
        done = run("migrate", "--again", "-d", url)
        assert done.returncode == errors.Exit.REFUSED, done.stdout
        assert "3020 Every table has row-level security: public.jobs" in done.stderr
        assert value(url, "select relrowsecurity from pg_class where oid = 'public.jobs'::regclass")
        assert run("migrate", "--again", "--no-checks", "-d", url).returncode == 0
        assert run("verify", "-d", url).returncode == 1

    def test_what_only_warns_is_no_reason(self, url: str) -> None:
        execute(url, "create index of_the_host on public.jobs (name)")
        assert migrate.migrate(url, again=True).refreshed

    def test_nothing_is_checked_when_nothing_was_done(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postchecks, "check", lambda *_: 1 / 0)
        assert migrate.migrate(url).refreshed == 0
        with pytest.raises(ZeroDivisionError):
            migrate.migrate(url, again=True)

    def test_they_leave_the_transaction_as_it_was_even_when_one_stumbles(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = verify.load_checks()[0]
        stumbling = replace(first, number="2999", sql="select 1/0")
        load = verify.load_checks
        monkeypatch.setattr(verify, "load_checks", lambda: [stumbling, *load()])
        shown = "select name, setting from pg_settings order by name"
        with migrate.opened(url, Options(), lambda event: None) as deployment:
            conn = deployment.conn

            def work() -> None:
                conn.execute("do $$ begin end $$")  # has settings of its own
                before = conn.execute(shown).fetchall()
                found = postchecks.failing(conn, postchecks.prepare(), FILES)
                assert [(r.check.number, f.extra) for r, f in found] == [
                    ("2999", "division by zero")
                ]
                assert conn.execute(shown).fetchall() == before
                conn.execute("create table public.still_writable ()")

            transaction.until_unlocked(deployment, work)
        assert value(url, "select to_regclass('public.still_writable') is not null")


class TestSurroundings:
    def test_a_database_of_another_encoding_is_refused_and_says_why(self, server: Server) -> None:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("drop database if exists latin")
            provider = " locale_provider libc" if admin.info.server_version >= 150000 else ""
            admin.execute(
                f"create database latin template template0 encoding 'LATIN1'{provider} locale 'C'"
            )
            try:
                refused = refusal(server.url("latin"))
                assert is_untouched(server.url("latin"))
            finally:
                admin.execute("drop database latin with (force)")
        assert refused.code == errors.Exit.REFUSED
        assert refused.sentence == "jobsdb needs a database whose encoding is UTF8"
        assert "LATIN1" in refused.detail

    def test_hostile_defaults_of_the_role_change_nothing(
        self, empty_url: str, url: str, server: Server
    ) -> None:
        role = f"odd_{os.getpid()}"
        execute(empty_url, f"create role {role} login superuser")
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
            "search_path = pg_temp, nowhere",
            "statement_timeout = '30ms'",
            "lock_timeout = '1ms'",
            "quote_all_identifiers = on",
            "client_encoding = 'LATIN1'",
            "datestyle = 'SQL, DMY'",
            "intervalstyle = 'iso_8601'",
            "timezone = 'Asia/Kathmandu'",
            "bytea_output = 'escape'",
            "row_security = off",
            "plpgsql.variable_conflict = 'use_column'",
        ):
            execute(empty_url, f"alter role {role} set {setting}")
        try:
            execute(empty_url, HOST_TABLES)
            execute(empty_url, MANY_CARDS)
            address = empty_url.replace("postgres@", f"{role}@")
            for mode in ("--plan", "--rehearse", None):
                done = run("migrate", *filter(None, [mode]), "-d", address)
                assert done.returncode == (1 if mode == "--plan" else 0), done.stderr
            assert run("verify", "-d", empty_url).returncode == 0
        finally:
            execute(empty_url, f"reassign owned by {role} to postgres; drop role {role}")


class TestBlockers:
    def test_whoever_does_nothing_is_to_be_ended_and_whoever_works_is_to_be_cancelled(
        self, empty_url: str
    ) -> None:
        execute(empty_url, HOST_TABLES)
        lock = "lock table public.kanban_cards in share mode"
        with locked(empty_url, lock) as holder:
            failed = refusal(empty_url, wait=1, lock_timeout=0.2)
            pid = holder.info.backend_pid
            assert f"select pg_terminate_backend({pid});" in failed.hint
            busy = threading.Thread(target=self.work, args=(holder,))
            busy.start()
            failed = refusal(empty_url, wait=1, lock_timeout=0.2)
            assert f"process {pid} of postgres, active for " in failed.detail
            assert f"select pg_cancel_backend({pid});" in failed.hint
            execute(empty_url, failed.hint.partition("way: ")[2])
            busy.join(timeout=30)
        assert migrate.migrate(empty_url).applied

    def work(self, conn: psycopg.Connection) -> None:
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute("select pg_sleep(60)")

    def test_a_prepared_transaction_is_named_with_what_ends_it(self, data_root: Path) -> None:
        settings = {"max_prepared_transactions": "2", "fsync": "off"}
        server = local.start("prepared", settings, BINDIR, data_root)
        execute(server.url(), HOST_TABLES)
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute("begin; lock table public.kanban_cards in share mode")
            conn.execute("prepare transaction 'it''s mine'")
        failed = refusal(server.url(), wait=1.5, lock_timeout=0.2)
        assert "prepared transaction 'it''s mine' of postgres" in failed.detail
        execute(server.url(), failed.hint.partition("way: ")[2])
        assert migrate.migrate(server.url()).applied
