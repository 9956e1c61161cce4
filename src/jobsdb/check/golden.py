"""For developers: writes what `verify` expects to find, and which locks a deployment takes.

    python -m jobsdb.check.golden [URL]

Run it after every change of sql/ and read the difference as part of the change: it is what the
change does to the catalog, and to others while it is deployed. It deploys to a database of its own
on the server (the embedded one by default), looks, and drops the database. sql/verify/expected.txt
and sql/migrate/locks.txt are the same from PostgreSQL 15 to 18.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from jobsdb import wire
from jobsdb.check.checks import Facts
from jobsdb.check.verify import snapshot
from jobsdb.connect import Target, choose, connect
from jobsdb.deploy import ledger, locks, script
from jobsdb.deploy.migrate import Options, migrate, opened
from jobsdb.deploy.transaction import until_unlocked
from jobsdb.sqlfiles import load, migrate_text, sql_root

if TYPE_CHECKING:
    from jobsdb.connect import Connection

NAME = "jobsdb_golden"

_CLOSING = (script.LEDGER, script.ADOPTION, script.NOTIFY)
_HEAD = "# What verify expects: check, object, definition. Made by: python -m jobsdb.check.golden\n"
_LOCKS_HEAD = """\
# Locks that keep others waiting, on tables that exist before: file, table, mode, and whether it
# counts for tables of the host only, for tables jobsdb made in their stead, or always (-).
# A migration by itself; the present state as a whole. Made by: python -m jobsdb.check.golden
"""


def write(url: str | None) -> None:
    """Deploy to a fresh database of the server and write down what is found."""
    target = choose(url, "flag")
    with _database(target) as address, connect(address) as conn:
        migrate(address, checks=False)
        (sql_root() / "verify" / "expected.txt").write_bytes(as_text(snapshot(conn)).encode())
    with _database(target) as one, _database(target, f"{NAME}_2") as two:
        (sql_root() / "migrate" / "locks.txt").write_bytes(locks_as_text(one, two).encode())


@contextmanager
def _database(target: Target, name: str = NAME) -> Iterator[str]:
    """The address of an empty database, which is dropped again."""
    from psycopg.conninfo import make_conninfo

    with connect(target) as server:
        server.execute(f"drop database if exists {name}".encode())
        server.execute(f"create database {name} template template0".encode())
        try:
            yield make_conninfo(target.conninfo, dbname=name)
        finally:
            server.execute(f"drop database {name} with (force)".encode())


def as_text(facts: Facts) -> str:
    """The facts as lines, sorted, one fact a line."""
    lines = sorted("\t".join((number, *fact)) for number in facts for fact in facts[number])
    return _HEAD + "".join(f"{line}\n" for line in lines)


def locks_as_text(with_host: str, without: str) -> str:
    """Deploy to two empty databases, of which one gets a host's tables; tell what is locked."""
    lines: dict[str, None] = {}
    for address, made_by in ((with_host, locks.HOST), (without, locks.OURS)):
        for lock in _measured(address, with_host=made_by == locks.HOST):
            adopted = lock.table in ("public.kanban_cards", "public.agent_runs")
            who = made_by if adopted else locks.ANYBODY
            if locks.BLOCKS[lock.mode] != "nothing":
                lines[f"{lock.file}\t{lock.table}\t{lock.mode}\t{who}"] = None
    places = {name: place for place, name in enumerate([*(f.path for f in load()), *_CLOSING])}
    ordered = sorted(lines, key=lambda line: (places[line.partition("\t")[0]], line))
    return _LOCKS_HEAD + "".join(f"{line}\n" for line in ordered)


def _measured(address: str, *, with_host: bool) -> Iterator[locks.Lock]:
    """A deployment, a transaction for each migration; then the present state once more."""
    with opened(address, Options(checks=False), lambda event: None) as run:
        if with_host:
            wire.execute(run.conn, migrate_text("host_example.sql"))
        plan = ledger.read(run.conn, run.files)
        for step in (*script.steps(plan), script.steps(plan)[-1]):
            closing = script.closing(plan) if step.files[0].kind == "present" else []
            watcher = locks.Watcher(locks.tables(run.conn))
            until_unlocked(run, partial(_watched, watcher, run.conn, step, closing))
            yield from watcher.found


def _watched(
    watcher: locks.Watcher, conn: Connection, step: script.Step, closing: list[tuple[str, str]]
) -> None:
    wire.execute(conn, script.RUNNER)
    watcher.begin(conn)
    watcher.send(conn, step.files)
    for name, statement in closing:
        watcher.run(conn, name, partial(wire.execute, conn, statement))


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else None)
