"""`jobsdb migrate --plan` and `--sql`: what would be done, without a lock and without a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsdb import errors, wire
from jobsdb.connect import asking, identity
from jobsdb.deploy import adopt, adoption, ledger, locks, migrate, preflight, script
from jobsdb.deploy.locks import Lock, Table
from jobsdb.sqlfiles import SqlFile

if TYPE_CHECKING:
    from jobsdb.connect import Target
    from jobsdb.deploy.migrate import Options
    from jobsdb.deploy.transaction import Progress, Run
    from jobsdb.errors import JobsdbError

HOST_TABLES = ("public.agent_runs", "public.kanban_cards")


@dataclass(frozen=True)
class Forecast:
    """What a deployment would do now."""

    database: dict[str, Any]
    plan: ledger.Plan
    steps: list[script.Step]
    """What would be sent; empty when there is nothing to do."""
    locks: list[Lock]
    """The strongest lock on each table that exists."""
    afterwards: list[str]
    """Statements that are left to do on big tables of the host."""
    to_adopt: list[Table]
    """Tables of the host for which there will be such statements: they are, or may be, big."""
    problems: list[JobsdbError]
    """Why it would not work."""

    @property
    def pending(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps or self.afterwards)


def forecast(
    conninfo: str | Target,
    options: Options,
    progress: Progress = lambda event: None,
    files: Sequence[SqlFile] | None = None,
) -> Forecast:
    """Look what a deployment would do. Errors: JobsdbError, also what `migrate` would refuse."""
    with migrate.opened(conninfo, options, progress, files) as run:
        conn = run.conn
        plan, problems = _read(run)
        steps = script.steps(plan) if options.again or not plan.nothing_to_do else []
        existing = list(locks.tables(conn, run.role).values())
        names = [file.path for step in steps for file in step.files]
        if steps:
            names += [name for name, _ in script.closing(plan)]
        return Forecast(
            identity(conn), plan, steps, locks.foretold(names, existing),
            adoption.remaining(conn, run.role), _big(existing) if plan.pending else [],
            problems if steps else [],
        )  # fmt: skip


def text(
    conninfo: str | Target,
    options: Options,
    progress: Progress = lambda event: None,
    files: Sequence[SqlFile] | None = None,
) -> str:
    """What a deployment would send now; empty when it would send nothing. Errors: JobsdbError."""
    with migrate.opened(conninfo, options, progress, files) as run:
        plan, _ = _read(run)
        if plan.nothing_to_do and not options.again:
            return ""
        return script.whole(plan, run.opening)


def statements(files: Sequence[SqlFile]) -> int:
    """How many statements files consist of."""
    return sum(1 for file in files for _ in wire.statement_starts(file.text))


def _big(existing: Sequence[Table]) -> list[Table]:
    """The host's tables, if one of them may be too big to be indexed in the transaction."""
    adopted = [table for table in existing if table.name in HOST_TABLES]
    least = script.ADOPT_IN_PLACE_ROWS
    big = any(table.rows is None or table.rows > least for table in adopted)
    return adopted if big else []


def _read(run: Run) -> tuple[ledger.Plan, list[JobsdbError]]:
    """The ledger against the files, and what stands in the way, in one read-only transaction.

    Errors: Refused, as migrate.
    """
    import psycopg

    try:
        with asking(run.conn, run.role):
            plan = ledger.read(run.conn, run.files)
            plan.refuse(run.target)
            if not plan.entries and (marks := adopt.recognise(run.conn)).is_recognised:
                raise adopt.unwanted(marks)
            return plan, preflight.problems(run.conn)
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc
