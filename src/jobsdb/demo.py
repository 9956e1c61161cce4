"""`jobsdb demo`: plays one campaign on a real database, from its creation to its success.

The play is SQL, in sql/seeds/demo/: what a person and an agent would send through PostgREST. Here
the files are run in order, each in a transaction under its role, and drawn.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsdb import connect, errors, migrate, render, samples, seed, sqlfiles
from jobsdb.errors import Exit

if TYPE_CHECKING:
    import psycopg

    from jobsdb.connect import Connection

PAUSE_S = 0.25
"""Between two steps on a terminal, so that one can follow."""

USER = samples.ORGANISATIONS["A"]
_WHO = {"tenant": "person", "service": "agent", "owner": "owner"}
_CLAIMS = {
    "tenant": f'{{"sub": "{USER}", "role": "authenticated"}}',
    "service": '{"role": "service_role"}',
}
_ROLES = {"tenant": "authenticated", "service": "service_role"}
_HEADER = re.compile(r"^-- (\w+): (.+)$", re.MULTILINE)
_INDENT = 12
_WIDTH = 80


@dataclass(frozen=True)
class Step:
    """A file of sql/seeds/demo/: its first line says what happens, the next how to run it."""

    file: sqlfiles.SqlFile
    sentence: str
    actor: str
    """tenant, service or owner"""
    keeps: str | None
    """Name of the value it returns; later steps find it as the setting demo.<name>."""
    shows: bool
    """Whether the rows it returns are shown."""
    refused: str | None
    """The SQLSTATE with which it must be refused."""


def run(database: str | None) -> int:
    """Migrate, load the sample campaigns, play the demo, verify. Returns an exit code.

    Without `database` (an address) on the embedded PostgreSQL. Every run makes a new job.
    Errors: JobsdbError.
    """
    import psycopg

    from jobsdb import verify

    target = connect.choose(database, "flag")
    with render.Steps() as steps:
        migrate.migrate(target, progress=steps.show)
    with connect.connect(target) as conn:
        try:
            _load_samples(conn, anyway=target.source == "embedded")
            play(conn)
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
    render.out("Is the database what it should be? jobsdb verify:\n")
    if code := verify.run(target.conninfo, (), False, False, "brief"):
        return code
    render.out("\nRead what was sent: sql/seeds/demo/. Go on: jobsdb seed, jobsdb status.")
    return Exit.DONE


def _load_samples(conn: Connection, *, anyway: bool) -> None:
    """The sample campaigns, but not into a database in which somebody works."""
    if not anyway and samples.others(conn):
        return
    if loaded := seed.load(conn, samples.campaigns()):
        render.say(f"  + {loaded} sample campaigns loaded; see them with jobsdb seed")


def steps() -> list[Step]:
    """The steps of the play, in order."""
    return [_step(file) for file in samples.files("demo")]


def _step(file: sqlfiles.SqlFile) -> Step:
    header = dict(_HEADER.findall(file.text))
    return Step(
        file,
        file.text.partition("\n")[0].removeprefix("-- "),
        header["as"],
        header.get("keeps"),
        "shows" in header,
        header.get("refused"),
    )


def play(conn: Connection) -> dict[str, str]:
    """Run all steps and draw them; returns the values they kept.

    Errors: psycopg.Error; JobsdbError when a step that must be refused is not.
    """
    kept: dict[str, str] = {}
    progress = samples.read("lib/progress.sql")
    render.out("\nA campaign, in the SQL its person and its agent send:\n")
    for number, step in enumerate(steps(), 1):
        render.out(f"{number:3}  {_WHO[step.actor]:<6} {step.sentence}")
        cursor = _run(conn, step, kept)
        if step.keeps and cursor and (row := cursor.fetchone()):
            kept[step.keeps] = str(row[0])
        elif step.shows and cursor:
            heads = [column.name for column in cursor.description or ()]
            render.out()
            render.table(heads, cursor.fetchall())
            render.out()
        with _acting(conn, "tenant", kept):
            row = conn.execute(progress.text.encode()).fetchone()
        if row and not step.shows and not step.refused:
            _draw(*row)
        if render.is_terminal(stderr=False):
            time.sleep(PAUSE_S)
    return kept


def _run(
    conn: Connection, step: Step, kept: dict[str, str]
) -> psycopg.Cursor[tuple[Any, ...]] | None:
    """One step; returns the result of its last statement, None when it was refused, as it must."""
    import psycopg

    try:
        with _acting(conn, step.actor, kept):
            cursor = conn.execute(step.file.text.encode())
            while cursor.nextset():
                pass
    except psycopg.Error as exc:
        if step.refused is None or exc.sqlstate != step.refused:
            raise errors.from_postgres(exc, at=f"sql/{step.file.path}") from exc
        _draw_refusal(exc)
        return None
    if step.refused:
        raise errors.JobsdbError(
            "a step of the demo that must be refused was not",
            code=Exit.INTERNAL,
            at=f"sql/{step.file.path}",
            hint="Run `jobsdb verify`.",
        )
    return cursor


@contextmanager
def _acting(conn: Connection, actor: str, kept: dict[str, str]) -> Iterator[None]:
    """A transaction as PostgREST opens it: search path, role, claims; and what was kept."""
    settings = {"search_path": "public", **{f"demo.{name}": value for name, value in kept.items()}}
    if actor in _ROLES:
        settings |= {"role": _ROLES[actor], "request.jwt.claims": _CLAIMS[actor]}
    with conn.transaction():
        for name, value in settings.items():
            samples.set_local(conn, name, value)
        yield


def _draw(
    status: str, done: int, total: int, running: int, error: int,
    in_review: int, approved: int, rejected: int, executed: int,
) -> None:  # fmt: skip
    """How far the job is: the columns of sql/seeds/lib/progress.sql."""
    tasks = _words(running=running, error=error)
    cards = _words(in_review=in_review, approved=approved, rejected=rejected, done=executed)
    said = "; ".join(filter(None, (tasks, cards and f"cards {cards}")))
    render.meter(f"{'':{_INDENT}}{status:<9}", done, total, said)


def _words(**numbers: int) -> str:
    """`2 running, 1 error`: what is not none."""
    return ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in numbers.items() if n)


def _draw_refusal(exc: psycopg.Error) -> None:
    diag = exc.diag
    facts = (
        ("refused", f"{diag.message_primary} ({exc.sqlstate})"),
        ("detail", diag.message_detail),
        ("hint", diag.message_hint),
    )
    for label, text in facts:
        for line in textwrap.wrap(text or "", _WIDTH - _INDENT - len("refused  ")):
            render.out(f"{'':{_INDENT}}{label:<9}{line}", "warn" if label == "refused" else None)
            label = ""
