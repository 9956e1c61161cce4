"""Draws what `migrate` has done, rehearsed or foretold: for people, or as one JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobsdb import __version__, render
from jobsdb.deploy import adopt, ledger
from jobsdb.deploy.locks import BLOCKS, Lock, outdoes
from jobsdb.deploy.plan import Forecast, statements
from jobsdb.errors import Exit
from jobsdb.sqlfiles import load, migrations

if TYPE_CHECKING:
    from jobsdb.deploy.migrate import Result
    from jobsdb.deploy.rehearsal import Rehearsal

VERSION = 1
"""Counts the incompatible changes of the documents."""
NOTHING = "Nothing was changed."


def result(done: Result, *, prerequisites: bool, as_json: bool) -> Exit:
    """What a run did."""
    if as_json:
        render.document(
            {
                **_head("prerequisites" if prerequisites else "run", done.database),
                "changed": bool(done.applied or done.refreshed or done.adopted),
                "schema": None if prerequisites else done.schema,
                "applied": list(done.applied),
                "refreshed": done.refreshed,
                "adopted": list(done.adopted),
                "taken_over": done.taken and asdict(done.taken),
            }
        )
        return Exit.DONE
    if prerequisites:
        render.out("The prerequisites are there.")
        return Exit.DONE
    if done.applied:
        count = len(done.applied)
        said = f"{count} migration{'s' if count > 1 else ''} applied."
    elif done.refreshed:
        said = "The present state was brought up to date."
    elif done.adopted:
        said = "The adoption of the host's tables was finished."
    else:
        said = "Nothing to do."
    render.out(f"{said} Schema is at {done.schema}.")
    if done.taken:
        adopt.show(done.taken)
    if done.applied or done.refreshed:
        render.say("next: jobsdb verify")
    return Exit.DONE


def forecast(found: Forecast, *, as_json: bool) -> Exit:
    """What a run would do: NO when something is pending, or the exit code it would end with."""
    code = found.problems[0].code if found.problems else Exit.NO if found.pending else Exit.DONE
    if as_json:
        render.document(
            {
                **_head("plan", found.database),
                "pending": found.pending,
                "schema": _schema(found.plan),
                "steps": [
                    {
                        "name": step.name or step.files[0].stem,
                        "files": [file.path for file in step.files],
                        "statements": statements(step.files),
                    }
                    for step in found.steps
                ],
                "changed": [file.path for file in found.plan.changed if found.plan.entries],
                "locks": [lock.document() for lock in found.locks],
                "afterwards": found.afterwards,
                "to_adopt": [table.name for table in found.to_adopt],
                "problems": [
                    {
                        "sentence": problem.sentence,
                        "detail": problem.detail,
                        "hint": problem.hint,
                        "exit_code": int(problem.code),
                    }
                    for problem in found.problems
                ],
            }
        )
        return code
    if not found.pending:
        render.out(f"Nothing to do. Schema is at {found.plan.schema}.")
        return code
    if found.steps:
        render.out("What would be done, in one transaction:")
        rows = [(s.name or s.files[0].stem, statements(s.files)) for s in found.steps]
        render.table(("step", "statements"), rows, right=("statements",))
        render.out()
        _locks("Strongest lock on each table that exists, until the commit:", found.locks)
    _afterwards(found.afterwards)
    if found.to_adopt:
        names = " and ".join(table.name for table in found.to_adopt)
        render.out(f"After the commit: indexes and checks of {names}, one by one; nobody waits.")
        render.out()
    for problem in found.problems:
        render.error(problem)
    render.out(NOTHING)
    render.out("To measure it: jobsdb migrate --rehearse. To do it: jobsdb migrate")
    return code


def rehearsal(done: Rehearsal, *, as_json: bool) -> Exit:
    """What a rehearsal did and how long it held what."""
    if as_json:
        render.document(
            {
                **_head("rehearsal", done.database),
                "changed": False,
                "schema": _schema(done.plan),
                "applied": list(done.applied),
                "refreshed": done.refreshed,
                "seconds": round(done.seconds, 3),
                "locks": [lock.document() for lock in done.locks],
                "afterwards": list(done.afterwards),
                "taken_over": done.taken and asdict(done.taken),
            }
        )
        return Exit.DONE
    if not (done.applied or done.refreshed):
        render.out(f"Nothing to do. Schema is at {done.plan.schema}. {NOTHING}")
        return Exit.DONE
    _locks("Locks on tables that existed, held until it was rolled back:", done.locks)
    _afterwards(done.afterwards)
    if done.taken:
        adopt.show(done.taken, rehearsed=True)
    count = len(done.applied)
    render.out(
        f"Rehearsed in {done.seconds:.2f} s: {count} migration{'' if count == 1 else 's'},"
        f" {done.refreshed} files of the present state."
    )
    render.out(f"It was rolled back. {NOTHING}")
    return Exit.DONE


def _locks(title: str, found: Iterable[Lock]) -> None:
    """The locks that keep somebody waiting, as a table; none that a stronger one makes moot."""
    every = list(found)
    shown = [
        x for x in every if BLOCKS[x.mode] != "nothing" and not any(outdoes(y, x) for y in every)
    ]
    if not shown:
        render.out("No table that exists is locked against anybody.")
        render.out()
        return
    measured = any(lock.held_ms is not None for lock in shown)
    heads = ["table", "lock", *(["held ms"] if measured else []), "rows", "keeps waiting", "file"]
    render.out(title)
    render.table(
        heads,
        [
            (
                lock.table,
                lock.mode,
                *([f"{lock.held_ms:.0f}"] if lock.held_ms is not None else []),
                "?" if lock.rows is None else f"{lock.rows:,}",
                BLOCKS[lock.mode],
                lock.file,
            )
            for lock in shown
        ],
        right=("held ms", "rows"),
    )
    render.out()


def _afterwards(steps: Sequence[str]) -> None:
    """What follows the commit."""
    if steps:
        render.out("After the commit, one by one; nobody waits for them:")
        for step in steps:
            render.out(f"  {step}")
        render.out()


def _head(mode: str, database: dict[str, Any]) -> dict[str, Any]:
    """How every document begins."""
    return {
        "version": VERSION,
        "mode": mode,
        "database": database,
        "package": {
            "release": __version__,
            "schema": ledger.version(migrations(load())[-1].path),
        },
    }


def _schema(plan: ledger.Plan) -> str | None:
    return plan.schema if plan.entries else None
