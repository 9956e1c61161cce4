"""`jobsdb migrate`: brings a database to the state the package describes.

One transaction holds everything: prerequisites, the migrations that are missing, the whole present
state, the ledger. It waits for no lock longer than `lock_timeout`; when it would, everything is
rolled back and tried again, so that traffic passes in between, until the `wait` budget is spent.
Nothing is set for the session and no session lock is taken: a transaction pooler may stand between.
Killed at any moment, the database is as before or as after. Only building indexes on big tables of
the host application happens after the commit (adoption.py), and can be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from jobsdb import __version__, adopt, adoption, blockers, errors, ledger, wire
from jobsdb.connect import Target, ask, banner, connect, where
from jobsdb.sqlfiles import SqlFile, load, migrations

if TYPE_CHECKING:
    from psycopg.errors import Diagnostic

    from jobsdb.connect import Connection

T = TypeVar("T")

LOCK_KEY = int.from_bytes(b"jobsdb", "big")
"""Advisory lock (transaction level) that deployments of one database take; bundles take it too."""

ADOPT_IN_PLACE_ROWS = 1000
"""Host tables up to this size are indexed in the transaction, which has them locked already."""

TELL_AFTER_S = 5.0
UNCHANGED = "Everything was rolled back: the database is unchanged."


@dataclass(frozen=True)
class Event:
    """What a caller may show while it runs."""

    kind: Literal["connected", "start", "done", "failed", "wait", "note"]
    text: str
    seconds: float = 0.0


Progress = Callable[[Event], None]


@dataclass(frozen=True)
class Result:
    """What a run did."""

    where: str
    schema: str
    """Version of the newest applied migration."""
    applied: tuple[str, ...] = ()
    """Names of the migrations this run applied."""
    refreshed: int = 0
    """Number of files of the present state this run applied."""
    adopted: tuple[str, ...] = ()
    """Statements executed on host tables after the commit."""
    taken: adopt.Taken | None = None
    """What was taken over from an older jobs system (adopt.py)."""


@dataclass
class _Run:
    """What the functions below share."""

    target: Target
    conn: Connection
    files: Sequence[SqlFile]
    settings: str
    deadline: float
    progress: Progress
    old: adopt.Adoption
    notes: list[str] = field(default_factory=list)
    finished: list[Event] = field(default_factory=list)
    """Steps of the transaction that is open: told only once they are committed."""


class _Busy(Exception):
    """Another deployment holds the lock."""


def migrate(
    conninfo: str | Target,
    *,
    wait: float = 60.0,
    lock_timeout: float = 0.5,
    statement_timeout: float = 300.0,
    progress: Progress = lambda event: None,
    files: Sequence[SqlFile] | None = None,
    only_prerequisites: bool = False,
    again: bool = False,
    adopt_old: bool = False,
) -> Result:
    """Deploy to a database. `wait`, `lock_timeout` and `statement_timeout` are seconds.

    `only_prerequisites` makes what a dump of jobsdb needs before it can be restored (roles, auth)
    and records nothing. `again` applies the present state even when nothing of it has changed.
    `adopt_old` takes over an older jobs system that stands in the way (adopt.py).
    Errors: JobsdbError with the exit codes of errors.Exit; before the commit nothing is changed.
    """
    target = Target(conninfo, "-d") if isinstance(conninfo, str) else conninfo
    files = load() if files is None else files
    conn = connect(target)
    try:
        progress(Event("connected", banner(conn, target)))
        _refuse_replica(conn)
        run = _Run(
            target, conn, files, _settings(conn, lock_timeout, statement_timeout),
            time.monotonic() + wait, progress, adopt.Adoption(adopt_old),
        )  # fmt: skip
        conn.add_notice_handler(lambda diag: _note(run, diag))
        if only_prerequisites:
            made = _until_unlocked(run, lambda: _prerequisites(run))
            return Result(where(conn), "nothing", refreshed=made)
        plan, applied, refreshed = _until_unlocked(run, lambda: _deploy(run, again))
        adopted = adoption.finish(
            target, conn, deadline=run.deadline, lock_timeout=lock_timeout,
            start=lambda text: progress(Event("start", text)),
            done=lambda text, seconds: progress(Event("done", text, seconds)),
        )  # fmt: skip
        schema = ledger.version(applied[-1].path) if applied else plan.schema
        names = tuple(file.stem for file in applied)
        return Result(where(conn), schema, names, refreshed, adopted, run.old.taken)
    finally:
        conn.close()


def pending(conn: Connection, files: Sequence[SqlFile] | None = None) -> ledger.Plan:
    """What a database lacks, without changing or locking anything."""
    return ledger.read(conn, load() if files is None else files)


def _until_unlocked(run: _Run, attempt: Callable[[], T]) -> T:
    """Repeat a whole transaction until no lock stands in its way or the time is up."""
    began = time.monotonic()
    told = False
    tries = 0
    with blockers.Watch(run.target) as watch:
        while True:
            try:
                return _attempt(run, attempt, watch)
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
                    hint="Run it again, in a quieter moment or with a longer --wait.",
                    note=UNCHANGED,
                )
            run.progress(Event("wait", f"waiting: {blocker or what}"))
            if waited > TELL_AFTER_S and not told:
                told = True
                run.progress(Event("note", f"still waiting: {blocker or what}"))
            blockers.nap(pause)


def _attempt(run: _Run, attempt: Callable[[], T], watch: blockers.Watch) -> T:
    """One transaction: begin, the deployment lock, the work, commit; else rollback.

    Errors: _Busy, LockError (worth another attempt), JobsdbError.
    """
    import psycopg

    run.notes.clear()
    run.finished.clear()
    committing = False
    try:
        cursor = run.conn.execute(run.settings)
        while cursor.nextset():
            pass
        obtained, watch.pid = cursor.fetchone() or (False, None)
        if not obtained:
            raise _Busy(blockers.holder(run.conn, LOCK_KEY) or "")
        result = attempt()
        committing = True
        run.conn.execute("commit")
    except KeyboardInterrupt:
        raise errors.Interrupted(
            "`jobsdb status` tells whether it was committed." if committing else UNCHANGED
        ) from None
    except (psycopg.Error, wire.FileError) as exc:
        cause, at = (exc.cause, exc.at) if isinstance(exc, wire.FileError) else (exc, None)
        trouble = errors.from_postgres(cause, at=at)
        if errors.is_retriable(cause):
            raise errors.LockError(trouble.sentence, detail=trouble.detail) from cause
        if cause.sqlstate and cause.sqlstate not in errors.CONNECTION_LOST:
            trouble.note = UNCHANGED
        raise trouble from cause
    finally:
        watch.pid = None
        if not run.conn.closed and run.conn.info.transaction_status != 0:
            with suppress(psycopg.Error):
                run.conn.execute("rollback")
    notes = (*run.notes, *run.old.notes)
    for event in (*run.finished, *(Event("note", note) for note in notes)):
        run.progress(event)
    return result


def _deploy(run: _Run, again: bool) -> tuple[ledger.Plan, list[SqlFile], int]:
    """The work of the transaction: what was found, the migrations applied, files refreshed."""
    plan = ledger.read(run.conn, run.files)
    plan.refuse()
    run.old.begin(run.conn, lambda name, files: _step(run, name, files), is_new=not plan.entries)
    if plan.nothing_to_do and not again:
        return plan, [], 0
    run.conn.execute(_RUNNER)
    present = [file for file in run.files if file.kind == "present"]
    applied = plan.pending
    for file in run.files:
        if file.kind == "prerequisite":
            wire.send(run.conn, [file])
        elif file in applied:
            _step(run, file.stem, [file])
    _step(run, f"present state, {len(present)} files", present)
    sent = [file for file in run.files if file.kind != "migration" or file in applied]
    run.conn.execute(
        "select jobsdb.record_applied(%s::text[], %s::text[], %s, 'migrate')",
        ([file.path for file in sent], [file.sha256 for file in sent], __version__),
    )
    run.old.finish(run.conn, lambda name, files: _step(run, name, files))
    if applied:
        run.conn.execute("select jobsdb.adopt_in_place(%s)", (ADOPT_IN_PLACE_ROWS,))
    run.conn.execute("notify pgrst, 'reload schema'")
    return plan, applied, len(present)


def _prerequisites(run: _Run) -> int:
    """Make what the first migration builds on; returns the number of files."""
    first = run.files.index(migrations(list(run.files))[0])
    _step(run, "prerequisites", run.files[:first])
    return first


_IN_RECOVERY = "select pg_catalog.pg_is_in_recovery()"
_RUNNER = "select set_config('jobsdb.runner', pg_catalog.pg_current_xact_id()::text, true)"


def _step(run: _Run, name: str, files: Sequence[SqlFile]) -> None:
    """Send files as one step that is shown."""
    if not files:
        return
    run.progress(Event("start", name))
    began = time.monotonic()
    try:
        wire.send(run.conn, files)
    except wire.FileError as exc:
        if not errors.is_retriable(exc.cause):
            run.progress(Event("failed", name))
        raise
    run.finished.append(Event("done", name, time.monotonic() - began))


def _settings(conn: Connection, lock_timeout: float, statement_timeout: float) -> str:
    """The beginning of every attempt, in one round trip; whatever the server's defaults are.

    Its last result is one row: deployment lock obtained, server process.
    """
    values = {
        "lock_timeout": f"{max(1, round(lock_timeout * 1000))}",
        "statement_timeout": f"{round(statement_timeout * 1000)}",
        "idle_in_transaction_session_timeout": "60000",
        "search_path": "''",
        "client_min_messages": "warning",
        "check_function_bodies": "on",
        "standard_conforming_strings": "on",
        "transform_null_equals": "off",
    }
    if conn.info.server_version >= 170000:
        values["transaction_timeout"] = "0"
    return (
        "begin isolation level read committed read write;"
        + "".join(f"set local {name} = {value};" for name, value in values.items())
        + f"select pg_catalog.pg_try_advisory_xact_lock({LOCK_KEY}), pg_catalog.pg_backend_pid()"
    )


def _refuse_replica(conn: Connection) -> None:
    if ask(conn, _IN_RECOVERY) != [(False,)]:
        raise errors.Refused(
            "this server is a read replica",
            hint="Deploy to the primary server; the replica follows by itself.",
        )


def _note(run: _Run, diag: Diagnostic) -> None:
    """Keep a warning of the server, to be shown once it is committed."""
    text = diag.message_primary or ""
    run.notes.append(f"{text} ({diag.message_hint})" if diag.message_hint else text)
