"""Follows the history of jobs: every event once, also one that becomes visible late.

An event gets its number when it is written and is seen when its transaction commits, so numbers do
not come in order: a slow transaction's event appears below those already seen. Therefore every
look reads again from a floor on, and leaves out what was seen before.

The floor rises to the highest number a look has seen once all transactions that had begun to write
by then have ended: whoever wrote below it is among them. They have when the oldest one still
running (xmin of the snapshot) is none of them. What number the next transaction had, age() tells:
xmax of a snapshot will not do, it follows the newest one that has ended.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from jobsdb.watching import reading
from jobsdb.watching.reading import Row

if TYPE_CHECKING:
    from jobsdb.connect import Connection

HISTORY = 10_000
"""Events the first look reads. Who wrote before it, and below so many, is overlooked."""
AT_ONCE = 1_000

_RUNNING = (
    "select pg_snapshot_xmin(s)::text::bigint,"
    " pg_snapshot_xmax(s)::text::bigint + age(pg_snapshot_xmax(s)::xid)"
    " from pg_current_snapshot() as s"
)


class Follower:
    """Reads the events of one job, or of all the caller may see, each once."""

    def __init__(self, job: str | None) -> None:
        self._job = job
        self._floor: int | None = None
        self._seen: set[int] = set()
        self._marks: deque[tuple[int, int]] = deque()
        """For each look which transaction came next, and the number the floor may rise to."""
        self._is_first = True

    def look(self, conn: Connection) -> list[Row]:
        """The events not given before, in their order; first of all, those of the past.

        To be called in a snapshot. Errors: psycopg.Error.
        """
        ((oldest, next_),) = conn.execute(_RUNNING).fetchall()
        found = self._read(conn)
        fresh = [row for row in found if row["id"] not in self._seen]
        self._seen.update(row["id"] for row in fresh)
        if found:
            self._marks.append((next_, found[-1]["id"]))
        self._raise_floor(oldest)
        return fresh

    def _read(self, conn: Connection) -> list[Row]:
        """The events from the floor on, in their order."""
        limit = HISTORY if self._is_first else AT_ONCE
        while True:
            found = reading.ask(conn, "watch/events.sql", self._job, self._floor, limit)[::-1]
            if self._is_first or len(found) < limit:
                break
            limit *= 10
        if self._is_first and len(found) == limit:
            self._floor = found[0]["id"]
        self._is_first = False
        return found

    def _raise_floor(self, oldest: int) -> None:
        before = self._floor
        while self._marks and self._marks[0][0] <= oldest:
            self._floor = self._marks.popleft()[1]
        if self._floor is not None and self._floor != before:
            self._seen = {number for number in self._seen if number >= self._floor}
