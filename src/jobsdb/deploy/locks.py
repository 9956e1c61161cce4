"""Which locks a deployment takes on tables that exist: foretold, or measured.

What sql/migrate/locks.txt foretells was measured once, file by file, on a database whose host has
tables of its own (golden.py); a test measures it anew. A rehearsal measures on the database itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from jobsdb import wire
from jobsdb.connect import ask
from jobsdb.sqlfiles import SqlFile, migrate_text

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from jobsdb.connect import Connection

ANYBODY, HOST, OURS = "-", "host", "ours"
"""Who made the table, where that makes a difference; the last column of locks.txt."""

BLOCKS = {
    "RowShareLock": "nothing",
    "RowExclusiveLock": "nothing",
    "ShareUpdateExclusiveLock": "DDL and vacuum",
    "ShareLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ExclusiveLock": "writes",
    "AccessExclusiveLock": "reads and writes",
}
"""What waits meanwhile, by mode, weakest first. (AccessShareLock is what every reader takes.)"""


@dataclass(frozen=True)
class Table:
    """A table that exists before the deployment."""

    name: str
    rows: int | None
    """The planner's estimate; null where nobody has counted yet."""
    is_ours: bool = False
    """Whether jobsdb made it because the host had none; said of kanban_cards and agent_runs."""


@dataclass(frozen=True)
class Lock:
    """A lock, and the file that takes it."""

    table: str
    mode: str
    file: str
    rows: int | None = None
    held_ms: float | None = None
    """From before that file to the end of the transaction, when it was measured."""

    def document(self) -> dict[str, Any]:
        """The lock for a JSON document."""
        return {**self.__dict__, "blocks": BLOCKS[self.mode]}


def tables(conn: Connection, role: str | None = None) -> dict[int, Table]:
    """The tables of the database by their object id."""
    return {oid: Table(*row) for oid, *row in ask(conn, _tables_query(), role)}


def foretold(files: Iterable[str], existing: Iterable[Table]) -> list[Lock]:
    """The strongest lock each table would get from these files (and script.ADOPTION), by table."""
    known = {table.name: table for table in existing}
    chosen = set(files)
    found = []
    for file, name, mode, made_by in _listed():
        table = known.get(name)
        if table is None or file not in chosen:
            continue
        if made_by in (ANYBODY, OURS if table.is_ours else HOST):
            found.append(Lock(name, mode, file, table.rows))
    return strongest(found)


def strongest(found: Iterable[Lock]) -> list[Lock]:
    """The strongest lock of each table, the earliest where it is taken twice; sorted by table."""
    order = list(BLOCKS)
    best: dict[str, Lock] = {}
    for lock in found:
        held = best.get(lock.table)
        if held is None or order.index(lock.mode) > order.index(held.mode):
            best[lock.table] = lock
    return [best[table] for table in sorted(best)]


def outdoes(one: Lock, other: Lock) -> bool:
    """Whether nobody who waits for the first would notice the second."""
    order = list(BLOCKS)
    return (
        one.table == other.table
        and order.index(one.mode) > order.index(other.mode)
        and (one.held_ms or 0) >= (other.held_ms or 0)
    )


class Watcher:
    """Looks, between the files that are sent, at the locks the transaction holds.

    Functions lock no table, so nothing is asked after them: that would only lengthen what is
    measured.
    """

    def __init__(self, existing: dict[int, Table]) -> None:
        self._existing = existing
        self.found: list[Lock] = []
        self._since: dict[Lock, float] = {}
        self._last = 0.0

    def begin(self, conn: Connection) -> None:
        """Forget everything: another transaction has begun."""
        self.found.clear()
        self._since.clear()
        self._probe(conn, None)

    def send(self, conn: Connection, files: Sequence[SqlFile]) -> None:
        """Send files in one round trip, with a look after each. Errors: FileError."""
        sent: list[SqlFile] = []
        looked: list[str] = []
        for file in files:
            sent.append(file)
            if not file.path.startswith("functions/") or file is files[-1]:
                sent.append(_probe_file())
                looked.append(file.path)
        self._note(looked, wire.send(conn, sent))

    def run(self, conn: Connection, name: str, work: Callable[[], None]) -> None:
        """Do something else, with a look after it."""
        work()
        self._probe(conn, name)

    def ended(self, conn: Connection) -> float:
        """The server's time, for `held`. Seconds."""
        self._probe(conn, None)
        return self._last

    def held(self, until: float) -> list[Lock]:
        """Every lock with the time it was held until this moment of the server's clock."""
        return [
            replace(lock, held_ms=round((until - self._since[lock]) * 1000, 1))
            for lock in self.found
        ]

    def _probe(self, conn: Connection, name: str | None) -> None:
        self._note([name], wire.send(conn, [_probe_file()]))

    def _note(self, names: Sequence[str | None], results: Sequence[PGresult]) -> None:
        """Read the looks among the results; what is new was taken by the file before."""
        looks = [r for r in results if r.nfields == 2 and r.fname(0) == b"jobsdb_at"]
        for name, result in zip(names, looks, strict=True):
            at, held = ((result.get_value(0, column) or b"").decode() for column in (0, 1))
            seen = {(lock.table, lock.mode) for lock in self.found}
            for text in sorted(filter(None, held.split(","))):
                relation, mode = text.split(" ")
                table = self._existing.get(int(relation))
                if table is not None and name is not None and (table.name, mode) not in seen:
                    lock = Lock(table.name, mode, name, table.rows)
                    self.found.append(lock)
                    self._since[lock] = self._last
            self._last = float(at)


@cache
def _probe_file() -> SqlFile:
    return SqlFile("migrate/locks.sql", "present", 1, migrate_text("locks.sql"))


@cache
def _tables_query() -> str:
    return migrate_text("tables.sql").rstrip().rstrip(";")


@cache
def _listed() -> tuple[list[str], ...]:
    lines = migrate_text("locks.txt").splitlines()
    return tuple(line.split("\t") for line in lines if line and not line.startswith("#"))
