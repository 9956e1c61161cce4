"""Deploying while everything goes wrong: killed, all at once, under load, after other routes."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace

import psycopg
import pytest

from commands import catalog, database, differences, run, start
from helpers import BINDIR, SOAK, new_database
from jobsdb import connect, errors, local
from jobsdb.deploy import adoption, bundle, locks, migrate, rehearsal
from jobsdb.deploy.migrate import Options
from jobsdb.local import Server
from test_bundle import as_one_extended_statement
from test_migrate import (
    FILES,
    HOST_TABLES,
    execute,
    is_untouched,
    ledger,
    locked,
    pgbouncer,
    refusal,
    value,
)

EVERYTHING = {file.path: file.sha256 for file in FILES}
BIG = (
    "insert into public.kanban_cards (org_id, type) select gen_random_uuid(), 'x'"
    " from generate_series(1, {})"
)
AT_WORK = (
    "select pid from pg_stat_activity where datname = '{}' and application_name like 'jobsdb/%'"
    " and pid <> pg_backend_pid() and state <> 'idle'"
)
ADVISORY = "select count(*) from pg_locks where locktype = 'advisory'"
INVALID = "select count(*) from pg_index where not indisvalid"


def is_adopted(url: str) -> bool:
    with psycopg.connect(url, autocommit=True) as conn:
        return adoption.remaining(conn) == []


class Victims:
    """A server of its own, whose processes may be killed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = self.start()
        self.usual = min(self.how_long() for _ in range(2))
        """Seconds of a deployment that nobody kills."""

    def how_long(self) -> float:
        with new_database(self.server) as url:
            execute(url, HOST_TABLES)
            execute(url, BIG.format(2000))
            began = time.monotonic()
            migrate.migrate(url)
            return time.monotonic() - began

    def start(self) -> Server:
        # A crash without fsync is one of processes, not of the machine: nothing written is lost.
        return local.start("victims", {"fsync": "off"}, BINDIR, self.root)

    def kill_server(self) -> None:
        """Kill every process of the server at once, as the kernel would, and start it again."""
        pidfile = self.root / "victims" / "data" / "postmaster.pid"
        postmaster = int(pidfile.read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGSTOP)  # so that it starts nothing more
        children = children_of(postmaster)
        for pid in (postmaster, *children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(is_running(pid) for pid in (postmaster, *children)):
            time.sleep(0.01)
        self.server = self.start()

    def wait(self) -> None:
        """Wait until the server takes connections, as after a crash of one of its processes."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.server.url()).close()
                return
            time.sleep(0.02)
        raise AssertionError("the server did not come back")


def children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            if int(words[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def victims(scratch: Path) -> Victims:
    return Victims(scratch)


class TestKilling:
    """`kill -9` at any moment: as before or as after, and the next run completes."""

    @pytest.mark.parametrize("victim", ["command", "backend", "server"])
    def test_it_leaves_before_or_after(
        self, victims: Victims, scale: float, seed: int, victim: str
    ) -> None:
        dice = random.Random(f"{seed} {victim}")
        rounds = round((68 if victim == "command" else 66) * scale)
        after = [self.is_installed(victims, dice, victim) for _ in range(rounds)]
        print(f"{victim}: {sum(after)} of {rounds} killed after the commit")

    @pytest.mark.parametrize("victim", ["command", "backend", "server"])
    def test_it_leaves_before_or_after_through_a_transaction_pooler(
        self, victims: Victims, scale: float, seed: int, data_root: Path, victim: str
    ) -> None:
        dice = random.Random(f"{seed} pooled {victim}")
        rounds = round(30 * scale)
        with pgbouncer(victims.server, data_root) as address:
            after = [self.is_installed(victims, dice, victim, address) for _ in range(rounds)]
        print(f"{victim}: {sum(after)} of {rounds} killed after the commit")

    def is_installed(
        self,
        victims: Victims,
        dice: random.Random,
        victim: str,
        pooled: Callable[[str], str] | None = None,
    ) -> bool:
        """Kill one deployment, check that all or nothing is there, deploy again."""
        with new_database(victims.server) as url:
            execute(url, HOST_TABLES)
            execute(url, BIG.format(2000))
            name = database(url)
            before = catalog(url)
            command = start("migrate", "-d", pooled(name) if pooled else url)
            moment = dice.uniform(0, 1.2)  # in lengths of a whole deployment
            killed = self.kill(victims, moment, victim, name, command)
            _, told = command.communicate(timeout=60)
            if victim != "command" and killed:
                # Whoever is told of it is told the truth: lost connection, or it was done already.
                assert command.returncode in (0, errors.Exit.CONNECT), told
            url = victims.server.url(name)
            while self.at_work(victims, name):
                time.sleep(0.01)
            installed = not is_untouched(url)
            if installed:
                assert ledger(url) == EVERYTHING
            else:
                assert catalog(url) == before
                assert command.returncode != 0
            assert value(url, ADVISORY) == 0
            again = migrate.migrate(pooled(name) if pooled else url)
            assert bool(again.applied) is not installed
            assert ledger(url) == EVERYTHING
            assert is_adopted(url)
            assert value(url, INVALID) == 0
            assert value(url, ADVISORY) == 0
            return installed

    def kill(
        self, victims: Victims, moment: float, victim: str, name: str, command: Popen[str]
    ) -> bool:
        """Kill it at some moment after it has begun; False when there was nothing left to kill."""
        with psycopg.connect(victims.server.url(), autocommit=True) as conn:
            at_work = AT_WORK.format(name)
            pids = None
            while command.poll() is None and not pids:
                pids = conn.execute(at_work).fetchone()
            time.sleep(moment * victims.usual)
            if victim == "command":
                command.kill()
                return True
            if victim == "server":
                victims.kill_server()
                return True
            pids = conn.execute(at_work).fetchone()
            if pids is None or command.poll() is not None:
                return False
            with suppress(ProcessLookupError):
                os.kill(pids[0], signal.SIGKILL)
        victims.wait()
        return True

    def at_work(self, victims: Victims, name: str) -> bool:
        try:
            return bool(value(victims.server.url(), f"select exists ({AT_WORK.format(name)})"))
        except psycopg.OperationalError:
            victims.wait()
            return True


class TestMany:
    def test_twenty_deployers_at_once_apply_each_file_once(self, server: Server) -> None:
        for _ in range(20 if SOAK else 2):
            with new_database(server) as url:
                execute(url, HOST_TABLES)
                execute(url, BIG.format(2000))
                commands = [start("migrate", "-d", url, "--wait", "5min") for _ in range(20)]
                told = [command.communicate(timeout=300) for command in commands]
                assert [command.returncode for command in commands] == [0] * 20, told
                assert sum("5 migrations applied" in out for out, _ in told) == 1
                assert value(url, "select count(*) from jobsdb.ledger") == len(FILES)
                assert ledger(url) == EVERYTHING
                assert is_adopted(url)
                assert value(url, ADVISORY) == 0

    def test_two_databases_of_one_cluster_are_deployed_at_once(
        self, data_root: Path, scale: float
    ) -> None:
        """The first deployments of a fresh server: both make the roles, which it has once."""
        server = local.start("fresh", {"fsync": "off"}, BINDIR, data_root)
        for _ in range(round(10 * scale)):
            with new_database(server) as one, new_database(server) as two:
                commands = [start("migrate", "-d", url) for url in (one, two)]
                told = [command.communicate(timeout=120) for command in commands]
                assert [command.returncode for command in commands] == [0, 0], told
                assert ledger(one) == ledger(two) == EVERYTHING
                assert differences(one, two) == []
            execute(server.url(), "drop role anon, authenticated, service_role")


class Hammer(threading.Thread):
    """One client of the host that does the same statement over and over, and times it."""

    def __init__(self, url: str, statement: str) -> None:
        super().__init__(daemon=True)
        self.url, self.statement = url, statement
        self.worst = 0.0
        self.done = 0
        self.failed: psycopg.Error | None = None
        self.over = threading.Event()

    def run(self) -> None:
        try:
            with psycopg.connect(self.url, autocommit=True) as conn:
                while not self.over.is_set():
                    began = time.monotonic()
                    conn.execute(self.statement)
                    self.worst = max(self.worst, time.monotonic() - began)
                    self.done += 1
                    time.sleep(0.002)
        except psycopg.Error as exc:
            self.failed = exc


@contextmanager
def hammered(url: str) -> Iterator[tuple[Hammer, Hammer]]:
    """Read and write the host's cards all the time."""
    card = "(select c.id from public.kanban_cards as c order by c.id limit 1)"
    both = (
        Hammer(url, f"select title from public.kanban_cards where id = {card}"),
        Hammer(url, f"update public.kanban_cards set title = 'x' where id = {card}"),
    )
    for hammer in both:
        hammer.start()
    try:
        yield both
    finally:
        for hammer in both:
            hammer.over.set()
            hammer.join(timeout=30)


class TestUnderLoad:
    def test_a_big_busy_table_behind_a_long_transaction_never_stalls_for_long(
        self, empty_url: str
    ) -> None:
        lock_timeout = 0.5
        execute(empty_url, HOST_TABLES)
        execute(empty_url, BIG.format(2_000_000 if SOAK else 20_000))
        execute(empty_url, "analyze public.kanban_cards")
        rehearsed = rehearsal.rehearse(empty_url, Options())
        (cards,) = [x for x in locks.strongest(rehearsed.locks) if "cards" in x.table]
        with hammered(empty_url) as (reader, writer):
            with locked(empty_url, "select count(*) from public.kanban_cards"):
                command = start(
                    "migrate", "-d", empty_url, "--lock-timeout", f"{lock_timeout}s",
                    "--wait", "5min",
                )  # fmt: skip
                time.sleep(4)
                assert command.poll() is None
                assert is_untouched(empty_url)
            _, told = command.communicate(timeout=300)
            during = reader.done, writer.done
            time.sleep(0.2)
        assert command.returncode == 0, told
        assert reader.failed is None
        assert writer.failed is None
        assert min(during) > 50
        worst, held = max(reader.worst, writer.worst), cards.held_ms / 1000
        print(f"worst stall: {worst:.3f} s; the lock is held for {held:.3f} s, rehearsed")
        # It waits for lock_timeout at most, and holds on a quiet machine for less than that. Where
        # every process waits for a processor, the rehearsal tells how much longer that takes.
        slow = max(1.0, held / (lock_timeout / 2))
        assert worst <= 2 * lock_timeout * slow
        assert "create index concurrently" in told
        assert is_adopted(empty_url)
        assert ledger(empty_url) == EVERYTHING


STAMPS = (
    "create schema supabase_migrations; create table supabase_migrations.schema_migrations"
    " (version text not null primary key, statements text[], name text)"
)


class TestOtherRoutes:
    """The ledger is written by the very statement that installs, so other books are not asked."""

    @pytest.fixture
    def stamped(self, empty_url: str) -> SimpleNamespace:
        """An empty database in which Supabase keeps its own list of migrations."""
        execute(empty_url, STAMPS)
        texts = bundle.build()
        return SimpleNamespace(url=empty_url, texts=texts)

    def stamp(self, conn: psycopg.Connection, version: str, name: str, text: str) -> None:
        conn.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements)"
            " values (%s, %s, %s)",
            (version, name, [text.rstrip().rstrip(";")]),
        )

    def push(self, url: str, files: dict[str, str]) -> None:
        """What `supabase db push` does: file and stamp in one transaction, file after file."""
        for name, text in files.items():
            version, _, rest = name.removesuffix(".sql").partition("_")
            with psycopg.connect(url) as conn:
                conn.execute(text.rstrip().rstrip(";").encode(), prepare=False)
                self.stamp(conn, version, rest, text)

    def test_what_was_pushed_is_not_applied_again(self, stamped: SimpleNamespace, url: str) -> None:
        self.push(stamped.url, stamped.texts)
        before = ledger(stamped.url)
        done = run("migrate", "-d", stamped.url)
        assert done.stdout == "Nothing to do. Schema is at 20251103000004.\n"
        assert ledger(stamped.url) == before == EVERYTHING
        assert value(stamped.url, "select array_agg(distinct route) from jobsdb.ledger") == [
            "bundle"
        ]
        assert differences(stamped.url, url) == []
        assert run("verify", "-d", stamped.url).returncode == 0

    def test_what_was_pushed_in_part_is_completed(self, stamped: SimpleNamespace, url: str) -> None:
        names = list(stamped.texts)
        self.push(stamped.url, {name: stamped.texts[name] for name in names[:2]})
        result = migrate.migrate(stamped.url)
        assert [f"{name}.sql" for name in result.applied] == names[2:]
        assert differences(stamped.url, url) == []

    def test_what_was_pasted_under_another_version_is_not_applied_again(
        self, stamped: SimpleNamespace
    ) -> None:
        """Dashboards stamp the moment; the text decides."""
        for number, text in enumerate(stamped.texts.values()):
            as_one_extended_statement(stamped.url, text)
            with psycopg.connect(stamped.url) as conn:
                self.stamp(conn, f"2031010100000{number}", "remote_commit", text)
        assert migrate.migrate(stamped.url).applied == ()

    def test_a_stamp_of_what_was_never_run_is_no_installation(
        self, stamped: SimpleNamespace, url: str
    ) -> None:
        """`supabase migration repair --status applied` runs nothing."""
        with psycopg.connect(stamped.url) as conn:
            for name, text in stamped.texts.items():
                version, _, rest = name.removesuffix(".sql").partition("_")
                self.stamp(conn, version, rest, text)
            self.stamp(conn, "20240101000000", "of_the_host", "select 1")
        assert len(migrate.migrate(stamped.url).applied) == 5
        assert differences(stamped.url, url) == []

    def test_somebody_elses_list_is_neither_needed_nor_read(self, stamped: SimpleNamespace) -> None:
        everything = "lock table supabase_migrations.schema_migrations in access exclusive mode"
        with locked(stamped.url, everything):
            assert migrate.migrate(stamped.url, wait=1).applied

    def test_objects_without_a_ledger_are_named_and_not_applied_again(
        self, stamped: SimpleNamespace
    ) -> None:
        self.push(stamped.url, stamped.texts)
        execute(stamped.url, "truncate jobsdb.ledger")
        before = catalog(stamped.url)
        refused = refusal(stamped.url)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert "public.jobs" in refused.detail
        assert catalog(stamped.url) == before


def test_the_first_line_tells_of_a_pooler_and_only_then(
    server: Server, empty_url: str, data_root: Path
) -> None:
    with pgbouncer(server, data_root) as address:
        pooled = address(database(empty_url))
        done = run("migrate", "--plan", "-d", pooled)
        assert done.stderr.splitlines()[0].endswith(", through a connection pooler")
        with connect.connect(pooled) as conn:
            assert connect.behind_pooler(conn)
    done = run("migrate", "--plan", "-d", empty_url)
    assert "pooler" not in done.stderr
