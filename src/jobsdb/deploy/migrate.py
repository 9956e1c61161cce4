"""`jobsdb migrate`: brings a database to the state the package describes.

One transaction holds everything: prerequisites, the migrations that are missing, the whole present
state, the ledger, and the checks of the result (transaction.py, script.py, postchecks.py). Killed
at any moment, the database is as before or as after. Only building indexes on big tables of the
host application happens after the commit (adoption.py), and can be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jobsdb import wire
from jobsdb.connect import Target, connect, identity, where
from jobsdb.deploy import adopt, adoption, ledger, postchecks, preflight, script
from jobsdb.deploy.script import LOCK_KEY, Step
from jobsdb.deploy.transaction import UNCHANGED, Event, Progress, Run, until_unlocked
from jobsdb.sqlfiles import SqlFile, load

__all__ = ["LOCK_KEY", "UNCHANGED", "Event", "Options", "Result", "deploy", "migrate", "opened"]


@dataclass(frozen=True)
class Options:
    """How a deployment behaves. Times are seconds."""

    wait: float = 60.0
    lock_timeout: float = 0.5
    statement_timeout: float = 300.0
    role: str | None = None
    """Whose rights and whose objects; the role that logs in, when there is none."""
    again: bool = False
    """Apply the present state even when nothing of it has changed."""
    checks: bool = True
    """Check the result before it is committed."""
    adopt_old: bool = False
    """Take over an older jobs system that stands in the way (adopt.py)."""


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
    database: dict[str, Any] = field(default_factory=dict)
    """Which database it was."""
    taken: adopt.Taken | None = None
    """What was taken over from an older jobs system (adopt.py)."""


Send = Callable[[Run, Step], None]
"""Sends the files of a step; a rehearsal looks at locks between them."""
Act = Callable[[Run, str, Callable[[], None]], None]
"""Does what follows the files, which has a name; a rehearsal looks at locks after it."""


def migrate(
    conninfo: str | Target,
    *,
    wait: float = 60.0,
    lock_timeout: float = 0.5,
    statement_timeout: float = 300.0,
    role: str | None = None,
    progress: Progress = lambda event: None,
    files: Sequence[SqlFile] | None = None,
    only_prerequisites: bool = False,
    again: bool = False,
    checks: bool | None = None,
    adopt_old: bool = False,
) -> Result:
    """Deploy to a database. `wait`, `lock_timeout` and `statement_timeout` are seconds.

    `only_prerequisites` makes what a dump of jobsdb needs before it can be restored (roles, auth)
    and records nothing. `again` applies the present state even when nothing of it has changed.
    `checks` verifies the result before it is committed: the default for the package's own files.
    `adopt_old` takes over an older jobs system that stands in the way (adopt.py).
    Errors: JobsdbError with the exit codes of errors.Exit; before the commit nothing is changed.
    """
    checks = files is None if checks is None else checks
    options = Options(wait, lock_timeout, statement_timeout, role, again, checks, adopt_old)
    old = adopt.Adoption(adopt_old)
    with opened(conninfo, options, progress, files) as run:
        if only_prerequisites:
            step = script.prerequisites(run.files)
            until_unlocked(run, lambda: _send(run, step))
            told = identity(run.conn)
            return Result(where(run.conn), "nothing", refreshed=len(step.files), database=told)
        plan, applied, refreshed = until_unlocked(run, lambda: deploy(run, options, old=old))
        adopted = adoption.finish(
            run.target, run.conn, role=role, deadline=run.deadline, lock_timeout=lock_timeout,
            start=lambda text: progress(Event("start", text)),
            done=lambda text, seconds: progress(Event("done", text, seconds)),
        )  # fmt: skip
        schema = ledger.version(applied[-1].path) if applied else plan.schema
        names = tuple(file.stem for file in applied)
        told = identity(run.conn)
        return Result(where(run.conn), schema, names, refreshed, adopted, told, old.taken)


@contextmanager
def opened(
    conninfo: str | Target,
    options: Options,
    progress: Progress,
    files: Sequence[SqlFile] | None = None,
) -> Iterator[Run]:
    """Connect for a deployment, and say where.

    Errors: ConnectError, Refused where nothing can be deployed.
    """
    target = Target(conninfo, "-d") if isinstance(conninfo, str) else conninfo
    files = load() if files is None else files
    conn = connect(target)
    try:
        progress(Event("connected", preflight.connected(conn, target, options.role)))
        version = conn.info.server_version
        yield Run(
            target, conn, files,
            script.opening(version, options.lock_timeout, options.statement_timeout, options.role),
            LOCK_KEY, time.monotonic() + options.wait, progress, options.role,
        )  # fmt: skip
    finally:
        conn.close()


def _together(run: Run, step: Step) -> None:
    wire.send(run.conn, step.files)


def deploy(
    run: Run,
    options: Options,
    send: Send = _together,
    act: Act = lambda run, name, act: act(),
    old: adopt.Adoption | None = None,
) -> tuple[ledger.Plan, list[SqlFile], int]:
    """The work of the transaction: what was found, the migrations applied, files refreshed.

    Errors: JobsdbError, FileError, psycopg.Error.
    """
    plan = ledger.read(run.conn, run.files)
    plan.refuse(run.target)
    old = old or adopt.Adoption(options.adopt_old)

    def move(name: str, files: Sequence[SqlFile]) -> None:
        _send(run, Step(name, tuple(files)), send)

    old.begin(run.conn, move, is_new=not plan.entries)
    if plan.nothing_to_do and not options.again:
        run.notes += old.notes
        return plan, [], 0
    for problem in preflight.problems(run.conn):
        raise problem
    checks = postchecks.prepare() if options.checks else []
    run.conn.execute(script.RUNNER)
    steps = script.steps(plan)
    for step in steps:
        _send(run, step, send)
    for name, statement in script.closing(plan):
        act(run, name, partial(wire.execute, run.conn, statement))
        if name == script.LEDGER:
            old.finish(run.conn, move)
    run.notes += old.notes
    if checks:
        run.step("checks of the result", lambda: postchecks.check(run.conn, checks, run.files))
    return plan, plan.pending, len(steps[-1].files)


def _send(run: Run, step: Step, send: Send = _together) -> None:
    """Send a step, and show it when it has a name."""
    if not step.files:
        return
    if step.name is None:
        send(run, step)
    else:
        run.step(step.name, lambda: send(run, step))
