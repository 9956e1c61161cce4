"""`jobsdb watch`: looks at campaigns again and again until they have ended.

A look is one snapshot: which jobs are watched, what happened since the last look, and, for those
that somebody wants to see, how they stand. The server may go away meanwhile and come back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import uniform
from typing import Protocol

import psycopg

from jobsdb import connect, errors
from jobsdb.errors import Exit
from jobsdb.watching import reading
from jobsdb.watching.follow import Follower
from jobsdb.watching.reading import Row

LONGEST_PAUSE_S = 10.0
SHARE = 4
"""A pause is at least so many times as long as the look before it took: watching stays cheap."""


@dataclass(frozen=True)
class Look:
    """What a look has seen. Rows are those of sql/watch/."""

    jobs: Sequence[Row]
    """Every watched job: id, name, has_ended, has_succeeded, is_gone."""
    metrics: Sequence[Row]
    """How the jobs stand that were wanted."""
    blockers: Sequence[Row]
    events: Sequence[Row]
    """What happened since the last look; the first time, what had happened before."""
    is_first: bool

    @property
    def still_open(self) -> int:
        """The number of jobs that have not ended."""
        return sum(not job["has_ended"] for job in self.jobs)

    @property
    def succeeded(self) -> int:
        """The number of jobs that have succeeded."""
        return sum(job["has_succeeded"] for job in self.jobs)


class Output(Protocol):
    """Where looks go: lines.Lines, lines.Documents or frame.Screen."""

    def wants(self, jobs: Sequence[Row]) -> list[str]:
        """The ids of the jobs whose metrics are to be read."""

    def show(self, look: Look) -> None:
        """Draw a look."""

    def say(self, text: str, style: str | None = None) -> None:
        """A line of talk, on stderr or above what is drawn."""

    def end(self, look: Look | None, reason: str) -> None:
        """It is over: succeeded, not succeeded or timeout; `look` is the last there was."""


def run(
    database: str | None, job: str | None, output: Output, *, timeout: float | None, poll: float
) -> Exit:
    """Watch a job (its id or name), or all that are open, to the end. Times are seconds.

    Returns NO when one of them did not succeed or time is up. Errors: JobsdbError.
    """
    end = None if timeout is None else time.monotonic() + timeout
    with closing(Watch(database, job, output)) as watch:
        while True:
            began = time.monotonic()
            look = watch.look()
            took = time.monotonic() - began
            if look is not None and not look.still_open:
                well = look.succeeded == len(look.jobs)
                output.end(look, "succeeded" if well else "not succeeded")
                return Exit.DONE if well else Exit.NO
            pause = watch.away_s or max(poll, SHARE * took)
            if end is not None:
                left = end - time.monotonic()
                if left <= 0:
                    output.end(watch.last, "timeout")
                    return Exit.NO
                pause = min(pause, left)
            time.sleep(pause)


class Watch:
    """The jobs that are watched, and the connection, which may be lost and made again."""

    def __init__(self, database: str | None, job: str | None, output: Output) -> None:
        self.last: Look | None = None
        self.away_s = 0.0
        """How long to wait for a server that is away."""
        self._output = output
        self._target = connect.choose(database)
        self._connect()
        self._known: dict[str, Row] = {}
        self._events: list[Row] = []
        self._takes_all = job is None
        try:
            reading.check(self._conn)
            if job is not None:
                found = reading.find(self._conn, job)
                self._known[found["id"]] = found
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
        self._follower = Follower(next(iter(self._known), None))

    def look(self) -> Look | None:
        """Look once and show it; None while the server is away. Errors: JobsdbError."""
        try:
            if self._conn.closed:
                self._connect()
            with reading.snapshot(self._conn):
                look = self._read()
        except (psycopg.OperationalError, errors.ConnectError) as exc:
            self._conn.close()
            if not self.away_s:
                said = errors.first_line(str(exc))
                self._output.say(errors.scrub(f"warning: no answer: {said}; trying again"), "warn")
            self.away_s = min(2 * self.away_s or 0.2, LONGEST_PAUSE_S) * uniform(0.5, 1)
            return None
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
        self.last, self.away_s = look, 0.0
        self._events.clear()
        self._output.show(look)
        return look

    def close(self) -> None:
        """Give the connection up."""
        self._conn.close()

    def _read(self) -> Look:
        # Kept until they were shown: what comes after may fail.
        self._events += self._follower.look(self._conn)
        jobs = self._jobs()
        wanted = self._output.wants(jobs)
        metrics = reading.ask(self._conn, "watch/metrics.sql", wanted) if wanted else []
        blockers: list[Row] = []
        if metrics and not self._takes_all:
            blockers = reading.ask(self._conn, "watch/blockers.sql", metrics[0]["id"])
        return Look(jobs, metrics, blockers, list(self._events), self.last is None)

    def _jobs(self) -> list[Row]:
        """The watched jobs: of all open ones also those that have ended since, or are gone."""
        found = reading.ask(self._conn, "watch/jobs.sql", list(self._known), self._takes_all)
        there = {row["id"]: row | {"is_gone": False} for row in found}
        gone = {"has_ended": True, "has_succeeded": False, "is_gone": True}
        self._known = there | {i: r | gone for i, r in self._known.items() if i not in there}
        return list(self._known.values())

    def _connect(self) -> None:
        self._conn = connect.connect(self._target)
        self._output.say(f"connected to {connect.banner(self._conn, self._target)}")


class Rates:
    """How many tasks and e-mails a job does a minute, over the last one."""

    WINDOW = timedelta(minutes=1)
    LEAST = timedelta(seconds=5)

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[datetime, int, int]]] = {}

    def of(self, row: Row) -> tuple[float, float] | None:
        """Tasks and e-mails a minute, from a row of metrics; None before there is a measure."""
        seen = self._seen.setdefault(row["id"], [])
        seen.append((row["at"], row["tasks"]["done"], row["sends"]["sent"]))
        while len(seen) > 2 and row["at"] - seen[1][0] >= self.WINDOW:
            del seen[0]
        (began, tasks, sent), (now, tasks_now, sent_now) = seen[0], seen[-1]
        if now - began < self.LEAST:
            return None
        minutes = (now - began) / timedelta(minutes=1)
        return max(tasks_now - tasks, 0) / minutes, max(sent_now - sent, 0) / minutes
