"""Who stands in the way: the sessions that hold a lock a deployment waits for."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobsdb import errors, render

if TYPE_CHECKING:
    from types import TracebackType

    from jobsdb.connect import Connection, Target

LOOK_EVERY_S = 0.1

_WHO = (
    "select a.pid, coalesce(a.usename, a.backend_type), a.state, pg_catalog.now() - a.xact_start,"
    " a.query from pg_catalog.pg_stat_activity as a where a.pid = any({pids}) order by a.xact_start"
)
_BLOCKING = _WHO.format(pids="pg_catalog.pg_blocking_pids(%s)")
_HOLDING = _WHO.format(
    pids="array(select l.pid from pg_catalog.pg_locks as l where l.locktype = 'advisory'"
    " and l.granted and l.objsubid = 1 and l.classid = %s::oid and l.objid = %s::oid"
    " and l.database = (select d.oid from pg_catalog.pg_database as d"
    " where d.datname = pg_catalog.current_database()))"
)
# A prepared transaction has no process: pg_blocking_pids gives 0 for it.
_PREPARED = (
    "select p.gid, p.owner, pg_catalog.now() - p.prepared from pg_catalog.pg_prepared_xacts as p"
    " where p.database = pg_catalog.current_database()"
    " and 0 = any(pg_catalog.pg_blocking_pids(%s)) order by p.prepared"
)


class Watch:
    """Notes, from a second connection, who blocks the first while it waits.

    Use as a context manager; set `pid` to the server process to watch, read `seen` and `remedy`
    afterwards: who stood in the way last, and what ends that, as the end of a sentence.
    """

    def __init__(self, target: Target) -> None:
        self.pid: int | None = None
        self.seen: str | None = None
        self.remedy = ""
        self._target = target
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look; further calls do nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()

    def holder(self, conn: Connection, key: int) -> str | None:
        """Who holds an advisory lock of this database, as text; None when it is free again."""
        row = conn.execute(_HOLDING, (key >> 32, key & 0xFFFFFFFF)).fetchone()
        self._note(row)
        return _describe(row)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def _look(self) -> None:
        import psycopg

        from jobsdb.connect import connect

        try:
            with connect(self._target) as conn:
                while not self._end.wait(LOOK_EVERY_S):
                    if self.pid is not None:
                        seen = conn.execute(_BLOCKING, (self.pid,)).fetchone()
                        self._note(seen)
                        if seen is None:
                            seen = conn.execute(_PREPARED, (self.pid,)).fetchone()
                            self._note_prepared(seen)
        except (errors.JobsdbError, psycopg.Error):
            return  # naming the blocker is a courtesy

    def _note(self, row: tuple[Any, ...] | None) -> None:
        if row is not None:
            self.seen = _describe(row)
            # To cancel means to cancel a statement, and a session that is idle has none.
            end = "pg_cancel_backend" if row[2] == "active" else "pg_terminate_backend"
            self.remedy = f"; or end what is in the way: select {end}({row[0]});"

    def _note_prepared(self, row: tuple[Any, ...] | None) -> None:
        if row is not None:
            gid, owner, age = row
            name = render.clean("'" + gid.replace("'", "''") + "'")
            self.seen = f"prepared transaction {name} of {owner}, for {duration(age)}"
            self.remedy = f"; or end what is in the way: rollback prepared {name};"


def _describe(row: tuple[Any, ...] | None) -> str | None:
    """`process 4242 of app, idle in transaction for 3 min: update kanban_cards set`."""
    if row is None:
        return None
    pid, user, state, age, query = row
    text = f"process {pid} of {user or '?'}, {state or 'state unknown'}"
    if age is not None:
        text += f" for {duration(age)}"
    words = _first_words(query or "")
    return render.clean(f"{text}: {words}" if words else text)


def _first_words(query: str) -> str:
    """The beginning of a statement, never as far as a literal: that could be a password."""
    return " ".join(query.split("'")[0].split("$")[0].split())[:60]


def nap(seconds: float) -> None:
    """Sleep about this long; the jitter spreads out deployers that wait for the same lock."""
    time.sleep(seconds * random.uniform(0.5, 1.5))


def duration(age: timedelta) -> str:
    """A length of time in its two coarsest useful words, such as `41 s`, `3 min`, `2 h 14 min`."""
    seconds = max(0, int(age.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} days"
