"""Everything that reaches the screen: results on stdout, talk on stderr.

With frame the only module that imports rich, and only where there is something to colour or to
animate: piped output is plain lines. NO_COLOR switches colours off, FORCE_COLOR on; animation needs
a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from jobsdb import errors

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.status import Status

    from jobsdb.deploy.transaction import Event

STEP_WIDTH = 46
BAR_WIDTH = 12
STYLES = {
    "ok": "green",
    "warn": "yellow",
    **dict.fromkeys(("FAIL", "bad", "error"), "bold red"),
    "dim": "dim",
}


def is_terminal(*, stderr: bool = True) -> bool:
    """Whether somebody looks on, so that something may move."""
    stream = sys.stderr if stderr else sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(*, stderr: bool = True) -> bool:
    """Whether the stream gets colours."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal(stderr=stderr)


def clean(text: str) -> str:
    """The text without control characters: names come from databases, and terminals obey them."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)


def say(text: str = "", style: str | None = None) -> None:
    """One line of talk, on stderr."""
    _write(text, style, stderr=True)


def out(text: str = "", style: str | None = None) -> None:
    """One line of result, on stdout."""
    _write(text, style, stderr=False)


def warn(text: str) -> None:
    """Something that is not an error but should be known."""
    say(f"warning: {text}", "warn")


def document(value: dict[str, Any]) -> None:
    """One JSON document on stdout; the caller puts its version into it."""
    out(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[str] = (),
    indent: int = 2,
) -> None:
    """An aligned table on stdout; columns named in `right` are flush right."""
    cells = [[clean(str("" if v is None else v)).replace("\n", " ") for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for number, row in enumerate([list(heads), *cells]):
        line = "  ".join(
            value.rjust(width) if head in right else value.ljust(width)
            for value, width, head in zip(row, widths, heads, strict=True)
        )
        out(f"{'':{indent}}{line}".rstrip(), "dim" if number == 0 else None)


def error(trouble: errors.JobsdbError) -> None:
    """What went wrong: one sentence, the facts, and what to do."""
    state = f" ({trouble.sqlstate})" if trouble.sqlstate else ""
    say(f"error: {errors.scrub(trouble.sentence)}{state}", "error")
    for label, text in (("  at:   ", trouble.at), ("  fact: ", trouble.detail)):
        if text:
            say(label + errors.scrub(text).replace("\n", "\n        "))
    if trouble.hint:
        say(f"hint: {errors.scrub(trouble.hint)}")
    if trouble.note:
        say(errors.scrub(trouble.note))


def confirm(question: str, *, yes: bool) -> bool:
    """Ask a yes-or-no question on the terminal; `yes` answers it.

    Errors: Refused when there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise errors.Refused(question, hint="There is nobody to ask: say --yes if this is meant.")
    sys.stderr.write(f"{clean(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class Steps:
    """Lines such as `  + name ..... ok   0.21s`: live on a terminal, one plain line when piped.

    Use as a context manager; `start`, then `done` or `failed`, for each step.
    """

    def __init__(self) -> None:
        self._name = ""
        self._began = 0.0
        self._status: Status | None = None

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._name and kind is not None:
            self.failed("stopped" if kind is KeyboardInterrupt else "failed")
        self._still()

    def show(self, event: Event) -> None:
        """Draw an event of a migration."""
        if event.kind == "connected":
            say(f"connected to {event.text}")
        elif event.kind == "start":
            self.start(event.text)
        elif event.kind == "wait":
            self.wait(event.text)
        elif event.kind == "done":
            self.done(event.seconds, name=event.text)
        elif event.kind == "failed":
            self.failed("failed, rolled back")
        else:
            say(f"note: {event.text}")

    def start(self, name: str) -> None:
        """Name what is about to happen, before it happens."""
        self._name = name
        self._began = time.monotonic()
        self.wait(name)

    def wait(self, text: str) -> None:
        """Show what is being waited for; only on a terminal, it leaves no line."""
        if not is_terminal():
            return
        shown = f" {clean(text)}"
        if self._status is None:
            self._status = console(stderr=True).status(shown, spinner="line")
            self._status.start()
        self._status.update(shown)

    def done(self, seconds: float | None = None, name: str | None = None) -> None:
        """The step worked; `seconds` and `name` when the caller kept them."""
        self._name = name or self._name
        self._line("ok", "ok", seconds)

    def failed(self, word: str = "failed") -> None:
        """The step did not work."""
        self._line(word, "FAIL", None)

    def _line(self, word: str, style: str, seconds: float | None) -> None:
        self._still()
        took = time.monotonic() - self._began if seconds is None else seconds
        dots = "." * max(3, STEP_WIDTH - len(self._name) - 1)
        name, self._name = self._name, ""
        _write_parts(
            [(f"  + {clean(name)} {dots} ", None), (f"{word:<4}", style), (f" {took:5.2f}s", None)]
        )

    def _still(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


@contextmanager
def progress(label: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; the value is called with how many units were just finished.

    When piped: one plain line per tenth.
    """
    if not is_terminal():
        yield _plain_progress(label, total, unit)
        return
    from rich import progress as rich_progress

    bar = rich_progress.Progress(
        rich_progress.TextColumn("  {task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn(unit, markup=False),
        rich_progress.TimeRemainingColumn(compact=True),
        console=console(stderr=True),
    )
    with bar:
        task = bar.add_task(clean(label), total=total)
        yield lambda finished: bar.advance(task, finished)


def _plain_progress(label: str, total: int, unit: str) -> Callable[[int], None]:
    finished = tenth = 0

    def advance(more: int) -> None:
        nonlocal finished, tenth
        finished += more
        reached = 10 * finished // max(total, 1)
        if reached > tenth:
            tenth = reached
            say(f"  {label} {finished:,} of {total:,} {unit}".rstrip())

    return advance


@contextmanager
def live(total: int) -> Iterator[Callable[[int, str, str], None]]:
    """A bar at the foot of stdout, which stays below the lines that are written meanwhile.

    The value is called with how much of `total` is done, in words, and what is going on. Nothing
    when piped.
    """
    if not is_terminal(stderr=False):
        yield lambda done, label, said: None
        return
    from rich import progress as rich_progress

    bar = rich_progress.Progress(
        rich_progress.TextColumn("{task.fields[label]:<6}", markup=False),
        rich_progress.BarColumn(BAR_WIDTH),
        rich_progress.TextColumn("{task.description}", style="dim", markup=False),
        console=console(stderr=False),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total, label="")
        yield lambda done, label, said: bar.update(
            task, completed=done, label=label, description=clean(said)
        )


def _write(text: str, style: str | None, *, stderr: bool) -> None:
    _write_parts([(clean(text), style)], stderr=stderr)


def _write_parts(parts: Sequence[tuple[str, str | None]], *, stderr: bool = True) -> None:
    """One line made of parts, each with its style."""
    if any(style for _, style in parts) and has_colour(stderr=stderr):
        from rich.text import Text

        styled = [(text, STYLES.get(style or "", style or "")) for text, style in parts]
        console(stderr=stderr).print(Text.assemble(*styled), soft_wrap=True)
    else:
        stream = sys.stderr if stderr else sys.stdout
        print("".join(text for text, _ in parts), file=stream, flush=True)


@cache
def console(*, stderr: bool) -> Console:
    """A stream as rich sees it."""
    from rich.console import Console

    terminal = is_terminal(stderr=stderr)
    colour = has_colour(stderr=stderr)
    return Console(
        stderr=stderr,
        force_terminal=terminal or colour,
        force_interactive=terminal,
        no_color=not colour,
        markup=False,
        highlight=False,
        emoji=False,
    )
