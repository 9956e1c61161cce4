"""`jobsdb watch`: every event once, whenever it commits; what it answers; what it draws."""

import ast
import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

import commands
import jobsdb
from commands import TOO_LONG, environment, run, tenant_url, until
from helpers import BINDIR
from jobsdb import errors, local
from jobsdb.deploy.migrate import migrate
from jobsdb.watching import follow, lines, reading
from jobsdb.watching.follow import Follower
from jobsdb.watching.watch import Rates
from world import A, B, move_card, move_job, new_card, new_job, new_task, one

pytestmark = pytest.mark.timeout(120)

Connect = Callable[..., psycopg.Connection]


class Watching:
    """A `jobsdb watch` that runs; what it has said so far."""

    def __init__(self, url: str, *arguments: str) -> None:
        self.process = commands.start("watch", "-d", url, "--poll", "0.05", *arguments)
        self.out: list[str] = []
        self.err: list[str] = []
        streams = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self._threads = [threading.Thread(target=self._read, args=pair) for pair in streams]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(stream: Any, said: list[str]) -> None:
        with stream:
            said.extend(line.rstrip("\n") for line in stream)

    def said(self, text: str) -> None:
        """Wait until a line on stdout or stderr has a text."""
        until(lambda: [line for line in self.out + self.err if text in line], text)

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        code = self.process.wait(timeout=TOO_LONG)
        for thread in self._threads:
            thread.join()
        return code

    def stop(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.end()


@pytest.fixture
def watch(url: str) -> Iterator[Callable[..., Watching]]:
    """Return a function that starts `jobsdb watch`; none outlives the test."""
    started: list[Watching] = []

    def watch(*arguments: str, url: str = url) -> Watching:
        started.append(Watching(url, *arguments))
        return started[-1]

    yield watch
    for watching in started:
        watching.stop()


# -------------------------------------------------------------------- every event once, also late


@pytest.fixture(params=["owner", "tenant"])
def look(
    request: pytest.FixtureRequest, connect: Connect, url: str
) -> Iterator[Callable[[], list[str]]]:
    """Return a function that gives what a follower of all events sees next: the cards' ids."""
    with psycopg.connect(
        url if request.param == "owner" else tenant_url(url), autocommit=True
    ) as conn:
        follower = Follower(None)

        def look() -> list[str]:
            with reading.snapshot(conn):
                return [row["entity_id"] for row in follower.look(conn)]

        look.follower = follower
        yield look


def decide(conn: psycopg.Connection, job: UUID, org: UUID = A) -> str:
    """Make a card and reject it, which is one event; returns its id."""
    card = new_card(conn, job, org=org)
    move_card(conn, card, "rejected")
    return str(card)


def test_an_event_that_commits_late_is_not_missed(
    db: psycopg.Connection, connect: Connect, look: Callable[[], list[str]]
) -> None:
    job, other = new_job(db), connect()
    look()
    with other.transaction():
        late = decide(other, job)
        first = [decide(db, job) for _ in range(3)]
        assert look() == first
        assert look() == []
        second = decide(db, job)
        assert look() == [second]
    third = decide(db, job)
    assert look() == [late, third]
    assert look() == []


def test_a_younger_transaction_that_writes_first_and_commits_last_is_not_missed(
    db: psycopg.Connection, connect: Connect, look: Callable[[], list[str]]
) -> None:
    """None with a higher number has ended: xmax of the snapshots is that of the younger one."""
    job, older, younger = new_job(db), connect(), connect()
    look()
    with younger.transaction():
        with older.transaction():
            older.execute("select pg_current_xact_id()")
            late = decide(younger, job)
            early = decide(older, job)
        for seen in ([early], [], []):
            assert look() == seen
    assert look() == [late]


def test_what_began_before_the_watch_and_commits_after_it_is_told(
    db: psycopg.Connection, connect: Connect, look: Callable[[], list[str]]
) -> None:
    job, other = new_job(db), connect()
    with other.transaction():
        late = decide(other, job)
        decide(db, job)
        look()
    assert look() == [late]
    assert look() == []


def test_what_is_rolled_back_is_never_told_and_holds_nothing_up(
    db: psycopg.Connection, connect: Connect, look: Callable[[], list[str]]
) -> None:
    job, other = new_job(db), connect()
    look()
    with other.transaction(force_rollback=True):
        decide(other, job)
        known = decide(db, job)
        assert look() == [known]
    for _ in range(3):
        assert look() == []
    assert len(look.follower._seen) == 1


def test_more_events_than_are_read_at_once(
    db: psycopg.Connection, look: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HISTORY", 4)
    monkeypatch.setattr(follow, "AT_ONCE", 2)
    job = new_job(db)
    made = [decide(db, job) for _ in range(10)]
    assert look() == made[-4:]
    more = [decide(db, job) for _ in range(25)]
    assert look() == more
    assert look() == []


@pytest.mark.timeout(300)
def test_writers_that_commit_in_any_order_are_all_told_once(
    db: psycopg.Connection,
    connect: Connect,
    look: Callable[[], list[str]],
    seed: int,
    scale: float,
) -> None:
    jobs = [new_job(db) for _ in range(4)]
    made: list[str] = []
    look()
    rounds = int(400 * scale)

    def write(number: int) -> None:
        conn, chance = connect(), random.Random(seed + number)
        for _ in range(rounds):
            with suppress(ZeroDivisionError), conn.transaction():
                mine = [decide(conn, jobs[number]) for _ in range(chance.randint(1, 3))]
                time.sleep(chance.choice((0, 0, 0.001, 0.02)))
                if chance.random() < 0.2:
                    raise ZeroDivisionError
                made.extend(mine)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    told: list[str] = []
    while any(writer.is_alive() for writer in writers):
        told += look()
    told += look()
    assert Counter(told) == Counter(made)
    assert rounds < len(made) < 4 * 3 * rounds
    look()
    assert len(look.follower._seen) <= 1


# -------------------------------------------------------------------------------- the lines it says


def test_a_line_for_every_event_until_the_job_has_ended(
    db: psycopg.Connection, watch: Callable[..., Watching]
) -> None:
    job = new_job(db, name="Spring")
    task = new_task(db, job)
    watching = watch("Spring")
    watching.said("Spring: running, 0 of 1 tasks")
    card = decide(db, job)
    db.execute("update public.job_tasks set status = 'done' where id = %s", [task])
    decide(db, new_job(db, name="another"))
    move_job(db, job, "succeeded")
    assert watching.end() == 0
    assert watching.out[0] == "Spring: running, 0 of 1 tasks"
    assert watching.out[2:] == [
        f"{watching.out[2][:8]}  card {card[:8]} in_review → rejected    postgres      Spring",
        f"{watching.out[3][:8]}  job {str(job)[:8]} running → succeeded      postgres      Spring",
        "Spring: succeeded, 1 of 1 tasks",
    ]
    assert len(watching.err) == 1
    assert watching.err[0].startswith("connected to ")


def test_json_is_a_versioned_object_a_line(
    db: psycopg.Connection, watch: Callable[..., Watching]
) -> None:
    job = new_job(db, name='a "name"\n<script>\u202e\x9b')
    watching = watch("--json", str(job).upper())
    watching.said('"type": "job"')
    card = decide(db, job)
    move_job(db, job, "failed")
    assert watching.end() == 1
    said = [json.loads(line) for line in watching.out]
    assert [line["type"] for line in said] == ["job", "event", "event", "job", "end"]
    assert {line["version"] for line in said} == {lines.VERSION}
    assert said[0]["name"] == 'a "name"\n<script>\u202e\x9b'
    assert (said[0]["status"], said[3]["status"]) == ("running", "failed")
    event = said[1]
    assert (event["job"], event["entity"], event["id"]) == (str(job), "card", card)
    assert (event["what"], event["who"]) == ("card in_review → rejected", "postgres")
    assert said[4] == {"version": 1, "type": "end", "reason": "not succeeded"} | {
        "jobs": 1, "succeeded": 0, "open": 0,
    }  # fmt: skip


def test_the_numbers_are_those_of_the_live_metrics(db: psycopg.Connection, url: str) -> None:
    job = new_job(db)
    for status in ("done", "error", "pending"):
        new_task(db, job, status)
    for state in ("in_review", "in_review", "rejected"):
        new_card(db, job, state)
    done = run("watch", "-d", url, "--json", "--timeout", "1ms", str(job))
    said = json.loads(done.stdout.splitlines()[0])
    found = one(db, "select to_jsonb(m) from public.job_metrics_live as m where job_id = %s", job)
    progress = one(db, "select to_jsonb(p) from public.get_job_progress(%s) as p", job)
    assert said["tasks"] == {
        "total": 3, "done": 1, "running": 0, "pending": 1, "error": 1, "skipped": 0,
    }  # fmt: skip
    assert said["tasks"]["done"] == found["tasks_completed"] == progress["tasks_done"]
    assert (
        said["cards"]["in_review"] == found["cards_in_review"] == progress["cards_in_review"] == 2
    )
    since = one(db, "select min(since) from public.review_queue where job_id = %s", job)
    assert said["oldest_card_at"] == since.astimezone().isoformat() or since.isoformat()


# ------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)], ids=str
)
def test_a_job_that_has_ended_is_answered_at_once(
    db: psycopg.Connection, url: str, status: str, code: int
) -> None:
    new_job(db, status=status, name="over")
    assert run("watch", "-d", url, "over").returncode == code


def test_all_open_jobs_are_watched_and_those_that_begin_meanwhile(
    db: psycopg.Connection, watch: Callable[..., Watching]
) -> None:
    new_job(db, status="failed", name="long over")
    one_, two = new_job(db, name="one"), new_job(db, status="pending", name="two")
    watching = watch()
    watching.said("two: pending")
    three = new_job(db, name="three")
    watching.said("three: running")
    for job in (two, three):
        if job == two:
            move_job(db, job, "running")
        move_job(db, job, "succeeded")
    move_job(db, one_, "cancelled")
    assert watching.end() == 1
    assert "one: cancelled, 0 of 0 tasks" in watching.out
    assert "three: succeeded, 0 of 0 tasks" in watching.out
    assert not [line for line in watching.out if "long over" in line]
    assert watching.err[-1] == "3 jobs have ended, 2 of them well."


def test_where_no_job_is_open_there_is_nothing_to_wait_for(url: str) -> None:
    done = run("watch", "-d", url)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == "No job is open."


def test_time_is_up(db: psycopg.Connection, url: str) -> None:
    new_job(db, name="slow")
    began = time.monotonic()
    done = run("watch", "-d", url, "slow", "--timeout", "300ms")
    assert time.monotonic() - began < 10
    assert done.returncode == 1
    assert "Time is up, and 1 of 1 watched jobs have not ended." in done.stderr
    documents = run("watch", "-d", url, "--json", "--timeout", "300ms").stdout.splitlines()
    assert json.loads(documents[-1])["reason"] == "timeout"


def test_a_job_that_is_deleted_is_gone(
    db: psycopg.Connection, watch: Callable[..., Watching]
) -> None:
    job = new_job(db, name="short-lived")
    watching = watch("short-lived")
    watching.said("short-lived: running")
    db.execute("delete from public.jobs where id = %s", [job])
    assert watching.end() == 1
    assert watching.out[-1] == "short-lived: gone: deleted, or no longer yours"


def test_ctrl_c_is_130(db: psycopg.Connection, watch: Callable[..., Watching]) -> None:
    new_job(db, name="slow")
    watching = watch("slow")
    watching.said("slow: running")
    watching.process.send_signal(signal.SIGINT)
    assert watching.end() == 130
    assert watching.err[-1] == "error: interrupted"


def test_a_name_nobody_has_and_a_name_of_two(db: psycopg.Connection, url: str) -> None:
    nobody = run("watch", "-d", url, "nothing")
    assert nobody.returncode == errors.Exit.USAGE
    assert 'error: there is no job "nothing", or it is not yours' in nobody.stderr
    twins = {str(new_job(db, name="twin")) for _ in range(2)}
    both = run("watch", "-d", url, "twin")
    assert both.returncode == errors.Exit.USAGE
    assert 'error: 2 jobs are called "twin"' in both.stderr
    assert all(twin in both.stderr for twin in twins)
    move_job(db, UUID(twins.pop()), "cancelled")
    alone = run("watch", "-d", url, "twin", "--timeout", "1ms")
    assert alone.stdout == "twin: running, 0 of 0 tasks\n"


def test_without_jobsdb_it_says_so(empty_url: str) -> None:
    done = run("watch", "-d", empty_url)
    assert done.returncode == errors.Exit.REFUSED
    assert "error: jobsdb is not installed here\nhint: Run `jobsdb migrate`." in done.stderr


# ---------------------------------------------------------------------------------- who watches


def test_a_tenant_watches_its_own_jobs_only(
    db: psycopg.Connection, url: str, watch: Callable[..., Watching]
) -> None:
    mine, others = new_job(db, A, name="mine"), new_job(db, B, name="theirs")
    new_card(db, mine)
    watching = watch(url=tenant_url(url))
    watching.said("mine: running, 0 of 0 tasks, 1 to review")
    decide(db, others, B)
    card = decide(db, mine)
    move_job(db, others, "failed")
    db.execute("update public.kanban_cards set state = 'rejected' where job_id = %s", [mine])
    move_job(db, mine, "succeeded")
    assert watching.end() == 0
    assert not [line for line in watching.out if "theirs" in line]
    assert len([line for line in watching.out if f"card {card[:8]}" in line]) == 1
    assert run("watch", "-d", tenant_url(url), "theirs").returncode == errors.Exit.USAGE


def test_a_stranger_is_told_what_is_missing(db: psycopg.Connection, url: str) -> None:
    role = f"stranger_{os.getpid()}"
    db.execute(f"create role {role} login")
    try:
        done = run("watch", "-d", url.replace("postgres@", f"{role}@"))
    finally:
        db.execute(f"drop role {role}")
    assert done.returncode == errors.Exit.CONNECT
    assert "permission denied" in done.stderr


def test_it_only_reads(db: psycopg.Connection, url: str) -> None:
    new_job(db)
    before = one(db, "select pg_current_xact_id()::text::bigint")
    run("watch", "-d", url, "--timeout", "200ms", "--poll", "50ms")
    assert one(db, "select pg_current_xact_id()::text::bigint") == before + 1


# --------------------------------------------------------------------------------- the server goes


def test_it_survives_a_restart_of_the_server(data_root: Path) -> None:
    server = local.start("watched", {"fsync": "off"}, BINDIR, data_root)
    migrate(server.url(), checks=False)
    with psycopg.connect(server.url(), autocommit=True) as conn:
        job = new_job(conn, name="long")
        before = new_card(conn, job)
        watching = Watching(server.url(), "--json", "long")
        try:
            watching.said('"type": "job"')
            move_card(conn, before, "rejected")
            watching.said(str(before))
            conn.close()
            local.stop("watched", data_root)
            watching.said("trying again")
            server = local.start("watched", {"fsync": "off"}, BINDIR, data_root)
            with psycopg.connect(server.url(), autocommit=True) as again:
                after = decide(again, job)
                move_job(again, job, "succeeded")
            assert watching.end() == 0
        finally:
            watching.stop()
    said = [json.loads(line) for line in watching.out]
    assert [e["id"] for e in said if e["type"] == "event"] == [str(before), after, str(job)]
    kinds = [line.split()[0] for line in watching.err]
    assert kinds == ["connected", "warning:", "connected"]


# -------------------------------------------------------------------------------------- on a screen


class Terminal:
    """`jobsdb watch` on a pseudo-terminal of 80 columns."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        ours, theirs = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jobsdb", "watch", "--poll", "0.05", *arguments],
            env=environment(**{"TERM": "xterm", "COLUMNS": "80", "LINES": "30"} | variables),
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._thread = threading.Thread(target=self._read, args=(ours,))
        self._thread.start()

    def _read(self, ours: int) -> None:
        data = b""
        with suppress(OSError):  # Linux: the other side is closed
            while piece := os.read(ours, 4096):
                data += piece
                self.shown = data.decode(errors="replace")
        os.close(ours)

    def sees(self, text: str) -> None:
        until(lambda: text in self.shown, text)

    def end(self) -> int:
        code = self.process.wait(timeout=TOO_LONG)
        self._thread.join(timeout=TOO_LONG)
        return code


def test_on_a_terminal_it_moves_and_leaves_the_cursor_as_it_was(
    db: psycopg.Connection, url: str
) -> None:
    job = new_job(db, name="Spring\x1b[2J")
    card = new_card(db, job)
    terminal = Terminal("-d", url, str(job))
    terminal.sees("cards waiting for a person: 1")
    move_card(db, card, "rejected")
    terminal.sees("in_review → rejected")
    terminal.sees("1 rejected")
    move_job(db, job, "succeeded")
    assert terminal.end() == 0
    assert "\x1b[?25l" in terminal.shown
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")
    assert "\x1b[2J" not in terminal.shown
    assert "Spring\ufffd[2J" in terminal.shown


def test_ctrl_c_on_a_terminal_gives_the_cursor_back(db: psycopg.Connection, url: str) -> None:
    new_job(db, name="slow")
    terminal = Terminal("-d", url)
    terminal.sees("slow")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")


def test_a_dumb_terminal_gets_lines(db: psycopg.Connection, url: str) -> None:
    new_job(db, name="slow")
    terminal = Terminal("-d", url, "--timeout", "300ms", TERM="dumb")
    assert terminal.end() == 1
    assert "slow: running, 0 of 0 tasks" in terminal.shown
    assert "\x1b" not in terminal.shown


def test_rates_are_of_the_last_minute() -> None:
    rates, began = Rates(), datetime(2026, 1, 1, tzinfo=UTC)

    def at(seconds: float, done: int, sent: int) -> tuple[float, float] | None:
        return rates.of(
            {
                "id": "x", "at": began + timedelta(seconds=seconds),
                "tasks": {"done": done}, "sends": {"sent": sent},
            }
        )  # fmt: skip

    assert at(0, 100, 0) is None
    assert at(1, 110, 0) is None
    assert at(30, 160, 3) == (120, 6)
    assert at(60, 160, 3) == (60, 3)
    assert at(200, 160, 3) == (0, 0)


def test_only_two_modules_import_rich() -> None:
    importing = set()
    for path in Path(jobsdb.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if "rich" in {name.split(".")[0] for name in names}:
                importing.add(path.name)
    assert importing == {"render.py", "frame.py"}


def test_lines_do_without_rich(url: str) -> None:
    check = (
        f"import sys; from jobsdb.cli import main; main(['watch', '-d', {url!r}]);"
        "print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], env=environment(), capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_jobs_no_terminal_has_room_for_are_counted(db: psycopg.Connection, url: str) -> None:
    for number in range(12):
        new_job(db, name=f"campaign {number} {uuid4()}")
    terminal = Terminal("-d", url, "--timeout", "200ms")
    assert terminal.end() == 1
    assert "and 7 more: jobsdb watch JOB" in terminal.shown
