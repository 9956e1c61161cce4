"""The moving screen of `jobsdb watch`. With render the only module that imports rich.

All jobs: a table, as many as the terminal has room for. One job: its figures, what it waits for
and what happened last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobsdb import render
from jobsdb.watching.lines import GONE, WIDTH, brief, counted, cut, tell, until, verdict
from jobsdb.watching.watch import Rates

if TYPE_CHECKING:
    from jobsdb.watching.reading import Row
    from jobsdb.watching.watch import Look

EVENTS = 5
LINES_OF_A_JOB = 4
LINES_AROUND = 5
BAR_WIDTH = 12
COLOURS = {
    "running": "green",
    "succeeded": "green",
    "paused": "yellow",
    "failed": "bold red",
    "cancelled": "red",
}
OF_TASKS = ("done", "error", "running", "pending", "skipped")
OF_SENDS = ("sent", "queued", "failed", "unknown")
BAD = {"error", "failed", "unknown", "bounced", "complained"}


class Screen:
    """Draws looks on the terminal until it is left; the last one stays. A context manager."""

    def __init__(self, *, one: bool) -> None:
        self._one = one
        self._live = Live(
            console=render.console(stderr=False), auto_refresh=False, vertical_overflow="crop",
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._rates = Rates()
        self._events: list[Row] = []

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def wants(self, jobs: Sequence[Row]) -> list[str]:
        """The ids of the jobs there is room for."""
        room = max((self._live.console.height - LINES_AROUND - EVENTS) // LINES_OF_A_JOB, 1)
        return [row["id"] for row in jobs if not row["is_gone"]][:room]

    def show(self, look: Look) -> None:
        """Draw a look."""
        self._live.update(self.draw(look), refresh=True)

    def draw(self, look: Look) -> Group:
        """What is to be seen of a look."""
        self._events = [*self._events, *look.events][-EVENTS:]
        parts = self._job(look) if self._one else self._overview(look)
        return Group(*parts, *self._history())

    def say(self, text: str, style: str | None = None) -> None:
        """A line of talk: above what moves, unless stderr goes elsewhere."""
        if render.is_terminal():
            styled = Text(render.clean(text), render.STYLES.get(style or "", ""))
            self._live.console.print(styled, soft_wrap=True)
        else:
            render.say(text)

    def end(self, look: Look | None, reason: str) -> None:
        """Say how it ended, below the last look."""
        self._live.stop()
        for line in verdict(look, reason):
            render.say(line)

    # ------------------------------------------------------------------------------------ all jobs

    def _overview(self, look: Look) -> Iterator[RenderableType]:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=self._width())
        table.add_column("campaign", ratio=1, header_style="dim")
        for head in ("tasks", "to review", "e-mails", "next"):
            table.add_column(head, no_wrap=True, header_style="dim")
        for row in look.metrics:
            table.add_row(*self._cells(row))
            table.add_row()
        if look.metrics:
            yield table
        rest = len(look.jobs) - len(look.metrics)
        if rest:
            yield Text(f"and {rest:,} more: jobsdb watch JOB\n", "dim")

    def _cells(self, row: Row) -> Iterator[RenderableType]:
        """A job as a row of the table, each cell a few short lines."""
        waiting, (tasks, sends) = row["cards"]["in_review"], self._per_minute(row)
        name = Text(render.clean(row["name"]), "bold", no_wrap=True, overflow="ellipsis")
        yield Group(name, _status(row))
        yield _lines(_bar(row["tasks"], BAR_WIDTH), _facts(row["tasks"], "error"), tasks)
        yield _lines(f"{waiting:,}", _age(row)) if waiting else ""
        yield _lines(*map(_fact, counted(row["sends"], *OF_SENDS)), sends)
        yield until(row["next_due_at"], row["at"]) or ""

    # ------------------------------------------------------------------------------------- one job

    def _job(self, look: Look) -> Iterator[RenderableType]:
        for job in look.jobs:
            if job["is_gone"]:
                yield Text(f"{cut(render.clean(job['name']))}: {GONE}")
        for row in look.metrics:
            head = Table.grid(expand=True)
            head.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
            head.add_column(justify="right", no_wrap=True)
            head.add_row(Text(render.clean(row["name"]), "bold"), _status(row))
            head.width = self._width()
            yield head
            body = Table.grid(padding=(0, 2, 0, 0))
            body.width = self._width()
            body.add_column(style="dim", width=9)
            body.add_column(ratio=1)
            for label, value in self._figures(row):
                body.add_row(label, value)
            for number, blocker in enumerate(look.blockers):
                body.add_row("" if number else "waits for", _blocker(blocker, row))
            yield body
            yield Text()

    def _figures(self, row: Row) -> Iterator[tuple[str, RenderableType]]:
        """The figures of a job, each with its label."""
        tasks, sends = self._per_minute(row)
        yield "tasks", _bar(row["tasks"], 3 * BAR_WIDTH)
        yield "", _facts(row["tasks"], *OF_TASKS, more=tasks)
        if any(row["cards"].values()):
            yield "cards", _facts(row["cards"], more=_age(row) and f"the oldest {_age(row)}")
        if any(row["sends"].values()):
            yield "e-mails", _facts(row["sends"], more=sends)
        if any(row["answers"].values()):
            yield "answers", _facts(row["answers"])
        if due := until(row["next_due_at"], row["at"]):
            yield "next due", due

    def _history(self) -> Iterator[RenderableType]:
        """The last events; of one job without its name."""
        for event in self._events:
            name = "" if self._one else f"  {event['name']}"
            line = f"{_when(event['at'])}  {tell(event)}{name}"
            yield Text(cut(render.clean(line), self._width()), "dim", no_wrap=True)

    def _per_minute(self, row: Row) -> tuple[str, str]:
        """Tasks and e-mails a minute as text; empty where nothing moves."""
        rates = self._rates.of(row) or (0, 0)
        tasks, sends = (f"{rate:,.0f} a minute" if rate >= 1 else "" for rate in rates)
        return tasks, sends

    def _width(self) -> int:
        return min(self._live.console.width, WIDTH)


def _status(row: Row) -> Text:
    return Text(row["status"], COLOURS.get(row["status"], ""))


def _bar(tasks: Mapping[str, int], width: int) -> Table:
    """How many of the tasks have ended, drawn and in figures."""
    ended = tasks["done"] + tasks["error"] + tasks["skipped"]
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(
        ProgressBar(max(tasks["total"], 1), ended, width=width, complete_style="green"),
        f"{tasks['done']:,} / {tasks['total']:,}",
    )
    return grid


def _facts(numbers: Mapping[str, int | None], *words: str, more: str = "") -> Text:
    """Numbers with their words in a line, and something more."""
    line = Text()
    for part in (*map(_fact, counted(numbers, *words)), Text(more, "dim")):
        if line and part:
            line.append(" · ", "dim")
        line.append_text(part)
    return line


def _fact(text: str) -> Text:
    """`1 failed`, in red when it is bad news."""
    return Text(text, "red" if text.rpartition(" ")[2] in BAD else "")


def _lines(*parts: RenderableType) -> Group:
    """What is not empty, one below the other."""
    return Group(*(part for part in parts if part))


def _when(at: datetime) -> str:
    """The time, of another day the day."""
    local = at.astimezone()
    is_today = local.date() == datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if is_today else f"{local:%b %d}  "


def _age(row: Row) -> str:
    """For how long the oldest card waits."""
    return f"for {brief(row['at'] - row['oldest_card_at'])}" if row["oldest_card_at"] else ""


def _blocker(blocker: Row, row: Row) -> Text:
    """Why it goes on, and until when, else since when."""
    if due := until(blocker["next_at"], row["at"]):
        return Text(f"{blocker['sentence']}, next {due}")
    since = f", for {brief(row['at'] - blocker['oldest_at'])}" if blocker["oldest_at"] else ""
    return Text(f"{blocker['sentence']}{since}")
