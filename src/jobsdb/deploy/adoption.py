"""What follows the commit: indexes and validation on big tables of the host application.

`jobsdb.adoption_steps()` gives the statements that remain, in order; each runs by itself, blocks
nobody, and may be cut short: the next `jobsdb migrate` goes on where this one stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobsdb import errors
from jobsdb.connect import Target, ask, become, behind_pooler, connect, quoted
from jobsdb.deploy.blockers import nap

if TYPE_CHECKING:
    from jobsdb.connect import Connection

LOCK_KEY = int.from_bytes(b"jobsdb", "big") + 1
"""Advisory lock of whoever adopts: two concurrent index builds on one table would deadlock."""

STEPS = "select s from jobsdb.adoption_steps() as s"
# Without parameters: after an extended query the transaction would keep a snapshot, for which the
# index build waits.
_LOCK = f"select pg_catalog.pg_try_advisory_xact_lock({LOCK_KEY})".encode()
_BEGIN = (
    "begin isolation level read committed read write; set local statement_timeout = 0;"
    " set local idle_in_transaction_session_timeout = 0"
)


def remaining(conn: Connection, role: str | None = None) -> list[str]:
    """The statements that remain to be executed on host tables; empty when adoption is finished."""
    from psycopg.errors import InvalidSchemaName, UndefinedFunction

    try:
        return [step for (step,) in ask(conn, STEPS, role)]
    except (InvalidSchemaName, UndefinedFunction):
        return []


def finish(
    target: Target,
    conn: Connection,
    *,
    role: str | None = None,
    deadline: float,
    lock_timeout: float,
    start: Callable[[str], None],
    done: Callable[[str, float], None],
) -> tuple[str, ...]:
    """Execute what remains; returns the statements. `deadline` is of time.monotonic().

    Errors: LockError when the deadline passes, JobsdbError; what was migrated stays migrated.
    """
    import psycopg

    executed: list[str] = []
    try:
        if not remaining(conn, role):
            return ()
        with connect(target) as guard:
            while steps := _next(conn, guard, deadline, role):
                step = steps[0]
                if executed and executed[-1] == step:
                    raise errors.JobsdbError(
                        "a statement for adopting a host table had no effect",
                        code=errors.Exit.SQL,
                        detail=step,
                        hint="Execute it by hand and read what the server says.",
                    )
                start(step)
                began = time.monotonic()
                if _execute(conn, step, deadline, lock_timeout, role):
                    done(step, time.monotonic() - began)
                    executed.append(step)
    except psycopg.Error as exc:
        raise _unfinished(errors.from_postgres(exc)) from exc
    except errors.JobsdbError as exc:
        raise _unfinished(exc) from exc
    except KeyboardInterrupt:
        raise _unfinished(errors.Interrupted()) from None
    return tuple(executed)


def _next(conn: Connection, guard: Connection, deadline: float, role: str | None) -> list[str]:
    """What remains, once this process is the only one that adopts."""
    while remaining(conn, role):
        if guard.info.transaction_status == 0:
            guard.execute(_BEGIN)
        row = guard.execute(_LOCK).fetchone()
        if row and row[0]:
            return remaining(conn, role)  # whoever had the lock may have done the last of it
        guard.execute("rollback")
        if time.monotonic() > deadline:
            raise errors.LockError("another deployment is still adopting the host's tables")
        nap(0.2)
    return []


def _execute(
    conn: Connection, step: str, deadline: float, lock_timeout: float, role: str | None
) -> bool:
    """One statement; False when a lock stood in its way and what remains has to be read again."""
    import psycopg

    try:
        if "concurrently" in step.lower():
            _alone(conn, step, role)
        else:
            conn.execute(_BEGIN + become(role))
            conn.execute(f"set local lock_timeout = {max(1, round(lock_timeout * 1000))}")
            conn.execute(step.encode())
            conn.execute("commit")
        return True
    except psycopg.Error as exc:
        if not conn.closed:
            conn.execute("rollback")
        if not errors.is_retriable(exc) or time.monotonic() > deadline:
            raise
        nap(0.5)
        return False


def _alone(conn: Connection, step: str, role: str | None) -> None:
    """A statement that cannot run in a transaction.

    It waits for old transactions but blocks nobody, so it gets no time limit. Behind a pooler the
    session is left as it is, for the next client would inherit what we set; the role too: whoever
    inherits its rights may build its indexes all the same, and an index has the owner of its table.
    """
    if not behind_pooler(conn):
        for setting in (
            *([f"role {quoted(role)}"] if role else ()),
            "lock_timeout = 0",
            "statement_timeout = 0",
            "default_transaction_read_only = off",
            "default_transaction_isolation = 'read committed'",
        ):
            conn.execute(f"set {setting}".encode())
    conn.execute(step.encode())


def _unfinished(trouble: errors.JobsdbError) -> errors.JobsdbError:
    """The same trouble, saying that the migration itself stands."""
    trouble.note = (
        "The migration is committed; adopting the host's tables is unfinished."
        " Run `jobsdb migrate` again to go on."
    )
    return trouble
