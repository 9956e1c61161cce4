"""Client processes that send one subject's SQL as fast as it is answered.

Prepared statements over libpq and nothing between, a process a worker, the same for all subjects.
"""

from __future__ import annotations

import multiprocessing
import queue
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import pq

from benchmarks.subjects import WORKER, WORKERS, Statements, Subject

WARM_UP = 6
"""Calls of each client before the clock starts: PostgreSQL settles on a plan after five."""
IDLE_S = 0.005
PATIENCE_S = 60
RETRIED = (b"40P01", b"40001")
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Cell:
    """One way to load the subjects, and what is promised of it."""

    title: str
    subjects: Sequence[str]
    judged: Sequence[str]
    bars: dict[str, tuple[float, float]]
    """The least ratio of a judged subject to this one: what is promised, what is hoped for."""
    workers: int = WORKERS
    size: int = 1
    """Tasks a call."""
    adds: bool = False
    """Tasks are added; else they are claimed and finished."""
    slow: bool = False
    """Every flush of the log is late."""
    share: float = 1
    """Of the queue that is worked off."""
    reference: str = "floor"

    @property
    def warm_up(self) -> int:
        """Tasks the warm-up may use."""
        return WARM_UP * self.workers * self.size


class Client:
    """One connection, and the tasks it holds."""

    def __init__(self, url: str, user: str, number: int, statements: Statements) -> None:
        self.conn = psycopg.connect(url, user=user, autocommit=True)
        self.values: dict[str, list[bytes | None]] = {}
        self.late: dict[str, list[tuple[int, str]]] = {}
        self.columns: dict[str, tuple[int, int | None]] = {}
        self.ids: list[bytes] = []
        self.token: bytes | None = None
        self.used = self.retries = 0
        for key, known in statements.items():
            words = [word and word.replace(WORKER, f"{number:012}") for word in known.values]
            self.values[key] = [None if word is None else word.encode() for word in words]
            self.late[key] = [(i, w.strip("%")) for i, w in enumerate(words) if w and w[0] == "%"]
            self.passed(self.conn.pgconn.prepare(key.encode(), known.text.encode()))

    def passed(self, result: pq.abc.PGresult) -> bool:
        """Whether the server did it; if not, whether to send it again is decided here."""
        if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            return True
        if result.error_field(pq.DiagnosticField.SQLSTATE) not in RETRIED:
            raise RuntimeError(result.error_message.decode())
        self.retries += 1
        return False

    def send(self, key: str, size: int = 0) -> pq.abc.PGresult:
        """Send a statement until it passes."""
        values = self.values[key]
        for position, what in self.late[key]:
            values[position] = self.value(what, size)
        while not self.passed(done := self.conn.pgconn.exec_prepared(key.encode(), values)):
            pass
        return done

    def value(self, what: str, size: int) -> bytes | None:
        """What a placeholder of a Statement stands for now."""
        match what:
            case "id":
                return self.ids[0]
            case "token":
                return self.token
            case "ids":
                many = self.ids
            case "step" | "steps":
                self.used += size
                many = [b"%d" % number for number in range(self.used - size, self.used)]
            case _:
                many = [what.removeprefix("each ").encode()] * len(self.ids)
        return many[0] if what == "step" else b"{%s}" % b",".join(many)

    def claim(self, key: str) -> None:
        """Send a statement that hands out tasks, and hold them; a row without id is none."""
        result = self.send(key)
        if key not in self.columns:
            places = {result.fname(place): place for place in range(result.nfields)}
            self.columns[key] = places[b"id"], places.get(b"lease_token")
        column, token = self.columns[key]
        found = [result.get_value(row, column) for row in range(result.ntuples)]
        self.ids = [task for task in found if task is not None]
        if self.ids and token:
            self.token = result.get_value(0, token)

    def call(self, cell: Cell, fused: bool) -> int:
        """Add tasks, or claim and finish some; return how many."""
        if cell.adds:
            self.send(f"add {cell.size}", cell.size)
            return cell.size
        if fused:
            held = len(self.ids)
            self.claim(f"{'next' if held else 'claim'} {cell.size}")
            return held
        self.claim(f"claim {cell.size}")
        return self.finish(cell)

    def finish(self, cell: Cell) -> int:
        """Finish what is held; return how many."""
        done = len(self.ids)
        if done:
            self.send(f"finish {cell.size}")
            self.ids = []
        return done


def rate(
    subject: Subject, cell: Cell, url: str, statements: Statements, filled: int, tasks: int
) -> float:
    """Tasks a second, from when all clients are warm until `tasks` of the `filled` are done.

    Errors: RuntimeError when a client fails, or the queue contradicts the clients afterwards.
    """
    warmed, done = (FORK.Array("q", cell.workers, lock=False) for _ in range(2))
    ready, told = FORK.Barrier(cell.workers), FORK.Queue()

    def work(number: int) -> None:
        client = Client(url, subject.user, number + 1, statements)
        warmed[number] = sum(client.call(cell, subject.fused) for _ in range(WARM_UP))
        warmed[number] += client.finish(cell)
        ready.wait(PATIENCE_S)
        last = began = time.monotonic()
        while sum(done) < tasks:
            if now_done := client.call(cell, subject.fused):
                done[number] += now_done
                last = time.monotonic()
            elif not client.ids:  # everything is in somebody's hands
                time.sleep(IDLE_S)
                if time.monotonic() - last > PATIENCE_S:
                    raise RuntimeError(f"{tasks - sum(done)} tasks are never handed out")
        told.put((began, last, client.retries))

    def process(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            told.put(f"{type(error).__name__}: {error}")
            ready.abort()

    clients = [FORK.Process(target=process, args=(n,), daemon=True) for n in range(cell.workers)]
    for client in clients:
        client.start()
    try:
        seen = [told.get(timeout=3600) for _ in clients]
    except queue.Empty:
        seen = ["a client does not end"]
    for client in clients:
        client.join(PATIENCE_S)
        client.kill()
    if failed := [each for each in seen if isinstance(each, str)]:
        raise RuntimeError(f"{subject.name}: {max(failed, key=len)}")
    if retries := sum(each[2] for each in seen):
        print(f"{subject.name}: {retries} deadlocks, sent again", file=sys.stderr)
    with psycopg.connect(url) as conn:
        ((left,),) = conn.execute(subject.unfinished.encode()).fetchall()
    handled = sum(warmed) + sum(done)
    expected = handled if cell.adds else filled - handled
    if left != expected:
        raise RuntimeError(f"{subject.name}: {left} tasks are unfinished, not {expected}")
    return sum(done) / (max(each[1] for each in seen) - min(each[0] for each in seen))
