"""Where the demo is played: runs its steps, each as PostgREST would, and draws them.

A step is a file of sql/seeds/demo/. Its first line says what happens and is drawn the first time;
the next lines say how to run it::

    -- as: tenant, service or owner
    -- keeps: job        the value it returns is found by later steps as the setting demo.job
    -- shows: rows       what it returns is drawn as a table
    -- counts: sends     it returns words and numbers for that part of the day's line
    -- proves: rows      it returns sentences, and what is wrong with each
    -- refused: JB003    it must be refused, with this SQLSTATE
    -- hint: ...         what to do when a constraint is in its way
"""

from __future__ import annotations

import re
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from jobsdb import errors, render, sqlfiles
from jobsdb.campaigns import samples
from jobsdb.errors import Exit

if TYPE_CHECKING:
    import psycopg

    from jobsdb.connect import Connection

PAUSE_S = 0.15
"""After a paragraph on a terminal, so that one can follow."""
INDENT = 12
WIDTH = 80
PARTS = ("drafts", "reviews", "sends", "events")
"""Of the line of a day, in this order."""
NO_BREAK = "\xa0"

_WHO = {"tenant": "person", "service": "agent", "owner": "owner"}
_ROLES = {"tenant": "authenticated", "service": "service_role"}
_SET = "pg_catalog.set_config(%s, %s, true)"
_HEADER = re.compile(r"^-- (\w+): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A file of sql/seeds/demo/."""

    name: str
    """The file's, without number and ending."""
    file: sqlfiles.SqlFile
    sentence: str
    actor: str
    """tenant, service or owner"""
    header: dict[str, str]


def steps(part: str) -> list[Step]:
    """The steps of a part of the play, in order."""
    return [_step(file) for file in samples.files(f"demo/{part}")]


def _step(file: sqlfiles.SqlFile) -> Step:
    header = dict(_HEADER.findall(file.text))
    sentence = file.text.partition("\n")[0].removeprefix("-- ")
    return Step(file.stem.partition("_")[2], file, sentence, header["as"], header)


@dataclass
class Stage:
    """Runs steps in a database in the name of `org`, whose person has the same id."""

    conn: Connection
    org: str
    kept: dict[str, str] = field(default_factory=dict)
    move: Callable[[str], None] = lambda said: None
    """Is told what is going on."""
    _told: set[str] = field(default_factory=set)
    _day: dict[str, Counter[str]] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)
    _idle: list[int] = field(default_factory=list)

    def run(self, step: Step, **values: object) -> list[dict[str, Any]]:
        """One step; `values` become settings demo.*. Returns the rows of its last statement.

        Errors: JobsdbError; also when a step that must be refused is not.
        """
        self._tell(step)
        cursor = self._execute(step, values)
        if cursor is None or cursor.description is None:
            return []
        heads = [column.name for column in cursor.description]
        found = cursor.fetchall()
        if name := step.header.get("keeps"):
            self.kept[name] = str(found[0][heads.index(name)])
        if part := step.header.get("counts"):
            for word, number in found:
                self.count(part, word, number)
        if "shows" in step.header:
            render.table(heads, found, indent=INDENT)
        return [dict(zip(heads, row, strict=True)) for row in found]

    def _tell(self, step: Step) -> None:
        self.move(step.sentence)
        if step.file.path not in self._told:
            self._told.add(step.file.path)
            self._draw_idle_days()
            self._paragraph(step.sentence, f"{len(self._told):3}  {_WHO[step.actor]}")

    def _execute(
        self, step: Step, values: dict[str, object]
    ) -> psycopg.Cursor[tuple[Any, ...]] | None:
        """None when it was refused, as it must."""
        import psycopg

        must = step.header.get("refused")
        at = f"sql/{step.file.path}"
        try:
            with self.acting(step.actor, **values):
                cursor = self.conn.execute(step.file.text.encode())
                while cursor.nextset():
                    pass
        except psycopg.Error as exc:
            if must is None or exc.sqlstate != must:
                trouble = errors.from_postgres(exc, at=at)
                if isinstance(exc, psycopg.IntegrityError):
                    trouble.hint = step.header.get("hint", trouble.hint)
                raise trouble from exc
            self._draw_refusal(exc)
            return None
        if must:
            raise errors.JobsdbError(
                "a step of the demo that must be refused was not",
                code=Exit.INTERNAL,
                at=at,
                hint="Run `jobsdb verify`.",
            )
        return cursor

    @contextmanager
    def acting(self, actor: str, **values: object) -> Iterator[None]:
        """A transaction as PostgREST opens it: search path, role, claims; and what was kept."""
        claims = {
            "tenant": f'{{"sub": "{self.org}", "role": "authenticated"}}',
            "service": '{"role": "service_role"}',
        }
        known = {"org": self.org, **self.kept, **values}
        settings = {"search_path": "public"} | {f"demo.{n}": str(v) for n, v in known.items()}
        if actor in _ROLES:
            settings |= {"role": _ROLES[actor], "request.jwt.claims": claims[actor]}
        with self.conn.transaction():
            calls = ", ".join([_SET] * len(settings))  # one round trip
            self.conn.execute(f"select {calls}".encode(), list(chain(*settings.items())))
            yield

    def pass_time(self, gap: str) -> None:
        """Let an interval pass for the campaign. Errors: JobsdbError."""
        with self.acting("owner"):
            samples.set_local(self.conn, "seed.job", self.kept["job"])
            samples.set_local(self.conn, "seed.gap", gap)
            samples.send(self.conn, samples.read("lib/time_passes.sql"))

    def count(self, part: str, word: str, number: int = 1) -> None:
        """Something of which the line of the day shall say how often it happened."""
        self._day.setdefault(part, Counter())[word] += number

    def note(self, text: str) -> None:
        """Something the end of the day shall tell."""
        self._notes.append(text)

    def end_day(self, day: int) -> None:
        """Draw what happened on a day, and forget it; days without anything are drawn together."""
        parts = (
            ", ".join(f"{n} {word}".replace(" ", NO_BREAK) for word, n in counter.items() if n)
            for _, counter in sorted(self._day.items(), key=lambda item: PARTS.index(item[0]))
        )
        if said := " · ".join(filter(None, parts)):
            self._draw_idle_days()
            self._paragraph(said, f"day {day}")
            for note in self._notes:
                self._paragraph(note, style="warn")
        else:
            self._idle = [*self._idle[:1], day]
            self._pause()
        self._day.clear()
        self._notes.clear()

    def _draw_idle_days(self) -> None:
        if self._idle:
            self._paragraph("nothing is due", f"day {'-'.join(map(str, self._idle))}")
        self._idle = []

    def _paragraph(self, text: str, label: str = "", style: str | None = None) -> None:
        for line in textwrap.wrap(text, WIDTH - INDENT):
            render.out(f"{label:<{INDENT}}{line.replace(NO_BREAK, ' ')}", style)
            label = ""
        self._pause()

    def _pause(self) -> None:
        if render.is_terminal(stderr=False):
            time.sleep(PAUSE_S)

    def _draw_refusal(self, exc: psycopg.Error) -> None:
        self._paragraph(f"refused: {exc.diag.message_primary} ({exc.sqlstate})", style="warn")
        self._paragraph(f"hint: {exc.diag.message_hint}")
