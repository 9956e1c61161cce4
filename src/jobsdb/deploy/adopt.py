"""`jobsdb migrate --adopt`: an older jobs system, made by hand, gives way to jobsdb.

It is recognised by the catalog (sql/adopt/recognise.sql), moved as a whole to schema jobsdb_before,
and what its tables hold is copied through the guards: the files of sql/adopt/ in the order of their
names, up to 50 before the deployment and from 60 after it, all in the deployment's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsdb import errors
from jobsdb.sqlfiles import SqlFile, normalise, sql_root

if TYPE_CHECKING:
    from jobsdb.connect import Connection

COMMAND = "jobsdb migrate --adopt"
SCHEMA = "jobsdb_before"
WAY_BACK = f"select string_agg(statement || ';', E'\\n' order by place, id) from {SCHEMA}.way_back;"
"""Gives the SQL that puts the old world back; to be run in one transaction."""

JOBS_A_STATEMENT = 200
"""So that no statement comes near the statement timeout."""

LEFT_SHOWN = 50

_NOT_OURS = "select pg_catalog.to_regnamespace('jobsdb') is null"
_TAKE = f"select {SCHEMA}.take_jobs({JOBS_A_STATEMENT})"
Step = Callable[[str, Sequence[SqlFile]], None]


@dataclass(frozen=True)
class Marks:
    """What recognise.sql says of a database."""

    is_recognised: bool
    score: int
    best: int
    missing: tuple[str, ...]
    """The needed marks that are not there, in words."""
    is_something_there: bool
    """Whether anything at all stands where jobsdb would put its own."""


@dataclass(frozen=True)
class Taken:
    """What an adoption took over, and what not."""

    jobs: int
    tasks: int
    cards: int
    runs: int
    left: tuple[tuple[str, str, str, str], ...]
    """Entity, its id, its job, and why it was left behind or changed."""


@dataclass
class Adoption:
    """The part of a deployment that deals with an older jobs system; one for all its attempts."""

    wanted: bool
    notes: list[str] = field(default_factory=list)
    """What the last attempt has to say once it is committed."""
    taken: Taken | None = None
    _is_under_way: bool = False

    def begin(self, conn: Connection, step: Step, *, is_new: bool) -> None:
        """Before the deployment: move an older jobs system away, if that was asked for.

        `is_new`: the database has nothing of jobsdb yet. Errors: Refused, FileError.
        """
        self.notes.clear()
        self.taken = None
        self._is_under_way = False
        is_new = is_new and conn.execute(_NOT_OURS).fetchone() == (True,)
        marks = recognise(conn) if is_new else None
        if marks is None or not marks.is_something_there:
            if self.wanted:
                found = "there is no older jobs system here" if marks else "jobsdb is here already"
                self.notes.append(f"nothing to adopt: {found}")
            return
        if marks.is_recognised and not self.wanted:
            raise unwanted(marks)
        if not self.wanted:
            return  # the first migration refuses, and names what it finds
        if not marks.is_recognised:
            raise _refused(
                "what stands where jobsdb would put its own is no jobs system that can be adopted",
                detail=f"Missing: {'; '.join(marks.missing)}."
                f" Recognised by {marks.score} of {marks.best} marks.",
                hint="If it is something else, rename it or move it to another schema, then run"
                " `jobsdb migrate`. Nothing was changed.",
            )
        step(f"the old jobs system moves to {SCHEMA}", _files(range(10, 60)))
        self._is_under_way = True

    def finish(self, conn: Connection, step: Step) -> None:
        """After the deployment: copy what the moved tables hold.

        Errors: psycopg.Error, FileError.
        """
        if not self._is_under_way:
            return
        step("its rows are prepared", _files(range(60, 70)))
        while conn.execute(_TAKE).fetchone() != (0,):
            pass
        step("its jobs are taken over", _files(range(70, 100)))
        jobs, tasks, cards, runs, said, left = _ask(conn, "report.sql")
        self.taken = Taken(jobs, tasks, cards, runs, tuple(tuple(item) for item in left))
        self.notes += said


def unwanted(marks: Marks) -> errors.Refused:
    """The refusal where an older jobs system is recognised and was not to be adopted."""
    return _refused(
        "an older jobs system, made by hand, stands where jobsdb would put its own",
        detail=f"Recognised by {marks.score} of {marks.best} marks.",
        hint=f"Run `{COMMAND}`: it moves that to schema {SCHEMA}, copies its jobs, and says how to"
        " return; with --rehearse it rolls all that back. Nothing was changed.",
    )


def _refused(sentence: str, *, detail: str, hint: str) -> errors.Refused:
    """A refusal with the code the first migration has for what stands in its way."""
    refused = errors.Refused(sentence, detail=detail, hint=hint)
    refused.sqlstate = "JB092"
    return refused


def recognise(conn: Connection) -> Marks:
    """Look at a database by the eyes of recognise.sql; changes and locks nothing."""
    recognised, score, best, missing, something = _ask(conn, "recognise.sql")
    return Marks(recognised, score, best, tuple(missing), something)


def _ask(conn: Connection, name: str) -> tuple[Any, ...]:
    """The one row a query of sql/adopt/ gives."""
    text = normalise((sql_root() / "adopt" / name).read_bytes())
    row: tuple[Any, ...] | None = conn.execute(text.encode()).fetchone()
    assert row is not None
    return row


def _files(numbers: range) -> list[SqlFile]:
    """The files of sql/adopt/ whose names begin with one of these numbers, in order."""
    found = sorted((sql_root() / "adopt").glob("[0-9]*.sql"))
    return [
        SqlFile(f"adopt/{path.name}", "present", 0, normalise(path.read_bytes()))
        for path in found
        if int(path.name.partition("_")[0]) in numbers
    ]


def show(taken: Taken, *, rehearsed: bool = False) -> None:
    """Print what was taken over, what was not and why, and how to return."""
    from jobsdb import render

    render.out(
        f"Taken over: {taken.jobs} jobs, {taken.tasks} tasks, links of {taken.cards} cards and"
        f" {taken.runs} runs." + ("" if rehearsed else f" The old objects are in schema {SCHEMA}.")
    )
    if taken.left:
        place = "" if rehearsed else f" ({SCHEMA}.not_adopted)"
        render.out(f"Not taken over, or changed{place}:")
        render.table(("what", "id", "job", "why"), taken.left[:LEFT_SHOWN])
        if (more := len(taken.left) - LEFT_SHOWN) > 0:
            render.out(f"  and {more} more")
    if not rehearsed:
        render.say(f"the way back: {WAY_BACK}")
