"""`jobsdb migrate --rehearse`: the whole deployment on the real database, rolled back.

It takes the real locks, so it disturbs as much as the real run does: it waits for none longer than
`lock_timeout`, and gives them all back at the end. What each was and how long it was held is told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsdb.deploy import adopt, ledger, locks, migrate
from jobsdb.deploy.adoption import STEPS
from jobsdb.deploy.locks import Lock
from jobsdb.deploy.transaction import Progress, until_unlocked
from jobsdb.sqlfiles import SqlFile

if TYPE_CHECKING:
    from jobsdb.connect import Target
    from jobsdb.deploy.migrate import Options


@dataclass(frozen=True)
class Rehearsal:
    """What the deployment did before it was rolled back."""

    database: dict[str, object]
    plan: ledger.Plan
    applied: tuple[str, ...]
    """Names of the migrations."""
    refreshed: int
    """Number of files of the present state."""
    locks: list[Lock]
    """Every lock on a table that existed before, with the time it was held."""
    afterwards: tuple[str, ...]
    """Statements that would follow the commit, on big tables of the host."""
    seconds: float
    """How long the transaction took."""
    taken: adopt.Taken | None
    """What was taken over from an older jobs system."""


def rehearse(
    conninfo: str | Target,
    options: Options,
    progress: Progress = lambda event: None,
    files: Sequence[SqlFile] | None = None,
) -> Rehearsal:
    """Deploy, measure, roll back. Errors: JobsdbError, as migrate."""
    from jobsdb.connect import identity

    with migrate.opened(conninfo, options, progress, files) as run:
        old = adopt.Adoption(options.adopt_old)
        watcher = locks.Watcher(locks.tables(run.conn, run.role))
        began = time.monotonic()

        def work() -> tuple[ledger.Plan, list[SqlFile], int, tuple[str, ...], float, float]:
            nonlocal began
            began = time.monotonic()
            watcher.begin(run.conn)
            plan, applied, refreshed = migrate.deploy(
                run,
                options,
                send=lambda run, step: watcher.send(run.conn, step.files),
                act=lambda run, name, act: watcher.run(run.conn, name, act),
                old=old,
            )
            steps: tuple[str, ...] = ()
            if applied or refreshed:
                steps = tuple(step for (step,) in run.conn.execute(STEPS.encode()))
            at = watcher.ended(run.conn)
            return plan, applied, refreshed, steps, at, time.monotonic()

        plan, applied, refreshed, afterwards, at, looked = until_unlocked(run, work, commit=False)
        ended = time.monotonic()
        return Rehearsal(
            identity(run.conn), plan, tuple(file.stem for file in applied), refreshed,
            watcher.held(at + ended - looked), afterwards, ended - began, old.taken,
        )  # fmt: skip
