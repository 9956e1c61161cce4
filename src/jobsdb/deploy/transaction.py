"""One transaction that is tried again, as a whole, while a lock stands in its way.

It waits for no lock longer than `lock_timeout`; when it would, everything is rolled back and tried
again, so that traffic passes in between, until the `wait` budget is spent. Nothing is set for the
session and no session lock is taken: a transaction pooler may stand between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from jobsdb import errors, wire
from jobsdb.deploy import blockers

if TYPE_CHECKING:
    from psycopg.errors import Diagnostic

    from jobsdb.connect import Connection, Target
    from jobsdb.sqlfiles import SqlFile

T = TypeVar("T")

TELL_AFTER_S = 5.0
UNCHANGED = "Everything was rolled back: the database is unchanged."


@dataclass(frozen=True)
class Event:
    """What a caller may show while it runs."""

    kind: Literal["connected", "start", "done", "failed", "wait", "note"]
    text: str
    seconds: float = 0.0


Progress = Callable[[Event], None]


@dataclass
class Run:
    """What one deployment consists of."""

    target: Target
    conn: Connection
    files: Sequence[SqlFile]
    opening: str
    """Begins each attempt; its last result is one row: deployment lock obtained, server process."""
    lock_key: int
    deadline: float
    """Of time.monotonic()."""
    progress: Progress
    role: str | None = None
    notes: list[str] = field(default_factory=list)
    finished: list[Event] = field(default_factory=list)
    """Steps of the transaction that is open: told only once they are committed."""

    def __post_init__(self) -> None:
        """Collect what the server remarks."""
        self.conn.add_notice_handler(self._note)

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do something that is shown, once it is committed."""
        self.progress(Event("start", name))
        began = time.monotonic()
        try:
            done = work()
        except wire.FileError as exc:
            if not errors.is_retriable(exc.cause):
                self.progress(Event("failed", name))
            raise
        except errors.JobsdbError:
            self.progress(Event("failed", name))
            raise
        self.finished.append(Event("done", name, time.monotonic() - began))
        return done

    def _note(self, diag: Diagnostic) -> None:
        """Keep a warning of the server, to be shown once it is committed."""
        text = diag.message_primary or ""
        self.notes.append(f"{text} ({diag.message_hint})" if diag.message_hint else text)


class _Busy(Exception):
    """Another deployment holds the lock."""


def until_unlocked(run: Run, work: Callable[[], T], *, commit: bool = True) -> T:
    """Repeat a whole transaction until no lock stands in its way or the time is up.

    Without `commit` it is rolled back in the end. Errors: LockError, JobsdbError.
    """
    began = time.monotonic()
    told = False
    tries = 0
    with blockers.Watch(run.target) as watch:
        while True:
            try:
                return _attempt(run, work, watch, commit)
            except _Busy as exc:
                blocker, what = str(exc), "another deployment is still running"
                pause = 0.1
            except errors.LockError as exc:
                watch.start()
                blocker, what = watch.seen or "", exc.sentence
                pause = min(2.0, 0.05 * 2**tries)
            tries += 1
            waited = time.monotonic() - began
            if time.monotonic() + pause > run.deadline:
                raise errors.LockError(
                    f"{what}: gave up after {waited:.1f} s",
                    detail=f"in the way: {blocker}" if blocker else None,
                    hint="Run it again in a quieter moment, or with a longer --wait"
                    + (watch.remedy or "."),
                    note=UNCHANGED,
                )
            run.progress(Event("wait", f"waiting: {blocker or what}"))
            if waited > TELL_AFTER_S and not told:
                told = True
                run.progress(Event("note", f"still waiting: {blocker or what}{watch.remedy}"))
            blockers.nap(pause)


def _attempt(run: Run, work: Callable[[], T], watch: blockers.Watch, commit: bool) -> T:
    """One transaction: begin, the deployment lock, the work, commit; else rollback.

    Errors: _Busy, LockError (worth another attempt), JobsdbError.
    """
    import psycopg

    run.notes.clear()
    run.finished.clear()
    committing = False
    try:
        cursor = run.conn.execute(run.opening.encode())
        while cursor.nextset():
            pass
        obtained, watch.pid = cursor.fetchone() or (False, None)
        if not obtained:
            raise _Busy(watch.holder(run.conn, run.lock_key) or "")
        result = work()
        committing = commit
        run.conn.execute("commit" if commit else "rollback")
    except KeyboardInterrupt:
        raise errors.Interrupted(
            "`jobsdb status` tells whether it was committed." if committing else UNCHANGED
        ) from None
    except errors.JobsdbError as trouble:
        trouble.note = trouble.note or UNCHANGED
        raise
    except (psycopg.Error, wire.FileError) as exc:
        cause, at = (exc.cause, exc.at) if isinstance(exc, wire.FileError) else (exc, None)
        failed = errors.from_postgres(cause, at=at)
        if errors.is_retriable(cause):
            raise errors.LockError(failed.sentence, detail=failed.detail) from cause
        if cause.sqlstate and cause.sqlstate not in errors.CONNECTION_LOST:
            failed.note = UNCHANGED
        raise failed from cause
    finally:
        watch.pid = None
        if not run.conn.closed and run.conn.info.transaction_status != 0:
            with suppress(psycopg.Error):
                run.conn.execute("rollback")
    for event in (*run.finished, *(Event("note", note) for note in run.notes)):
        run.progress(event)
    return result
