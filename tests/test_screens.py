"""What each command prints, kept in tests/screens/: at 80 columns, without colour and with it.

``JOBSDB_SCREENS=write`` keeps what is printed now; read the difference. Escape codes are kept as
``␛[32m``; times, ids, ports and the like as zeros or words of the same kind.
"""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click
import psycopg
import pytest
from rich.console import Console

from commands import database, environment
from helpers import BINDIR, new_database
from jobsdb import render
from jobsdb.cli import cli
from jobsdb.deploy import migrate
from jobsdb.local import Server
from jobsdb.watching import frame, watch
from world import move_job, new_card, new_job, new_task

pytestmark = [
    pytest.mark.skipif(BINDIR is not None, reason="does not depend on the server"),
    pytest.mark.timeout(180),
]

KEPT = Path(__file__).parent / "screens"
WRITE = os.environ.get("JOBSDB_SCREENS") == "write"
SECRET = "hunter2-s3cret"
WIDTH = 80
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
VARYING = (
    (r"postgres@\S+?:\d+/\w+", "postgres@localhost:5432/crm"),
    (r"PostgreSQL \d+\.\d+", "PostgreSQL 18.0"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", f"{'0' * 8}-0000-0000-0000-{'0' * 12}"),
    (r"\b(card|job|run) [0-9a-f]{8}\b", r"\1 00000000"),
    (r"\b\w+day, \d{4}-\d\d-\d\d", "Monday, 2026-01-31"),
    (r"\d{4}-\d\d-\d\d(?!\d)", "2026-01-31"),
    (r"\d\d:\d\d:\d\d", "00:00:00"),
    (r"\d+\.\d\ds\b", "0.00s"),
    (r"(?<![\d.])\d[\d.]* (s|min|h|days)\b( \d+ min)?", "1 h"),
    (r"\d+ files", "200 files"),
    (r"(?m)^(  (?:roles|auth|host_tables|\d{14}_\w+|present state, 200 files)) +\d+$", r"\1  99"),
    (r"\d+ checks, \d+ ok", "90 checks, 88 ok"),
    (r"/test_\d+\?", "/crm?"),
    (r"host=/\S+|on socket \S+", "host=localhost"),
    (SECRET, "PASSWORD"),
)  # fmt: skip
"""What is different each time, and what is kept instead."""


SENTENCE = re.compile(r"\s*([Ee]rror|hint|warning|fact|note|so|see|why|fix|missing|extra):|\$ ")
"""Lines that may be longer: sentences, which are searched for, and what is pasted."""


class Shell:
    """Runs commands one after the other, and keeps what a screen would show of them."""

    def __init__(self, url: str, folder: Path, *, colour: bool) -> None:
        self.url, self.folder = url, folder
        self.shown = ""
        self._variables = {"FORCE_COLOR": "1"} if colour else {"NO_COLOR": "1"}
        self._colour = colour

    def run(self, *arguments: str, **variables: str) -> None:
        """Run `jobsdb` with its output piped."""
        words = " ".join(map(quoted, arguments))
        address = {"JOBSDB_DATABASE_URL": self.url}
        done = subprocess.run(
            [sys.executable, "-m", "jobsdb", *arguments],
            env=environment(COLUMNS="80", **{**self._variables, **address, **variables}),
            cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=120,
        )  # fmt: skip
        self.keep(f"$ jobsdb {words}\n{done.stdout}")
        if done.returncode:
            self.keep(f"$ echo $?\n{done.returncode}\n")

    def draw(self, job: str | None) -> None:
        """One look of `jobsdb watch` on a terminal."""
        file = io.StringIO()
        console = Console(
            file=file, width=WIDTH, height=30, force_terminal=True, color_system="standard",
            no_color=not self._colour, legacy_windows=False,
        )  # fmt: skip
        screen = frame.Screen(one=job is not None)
        screen._live.console = console
        screen.show = lambda look: console.print(screen.draw(look))
        screen.say = lambda text, style=None: None
        with closing(watch.Watch(self.url, job, screen)) as watching:
            watching.look()
        said = file.getvalue() if self._colour else ESCAPE.sub("", file.getvalue())
        self.keep(f"$ jobsdb watch{f' {quoted(job)}' if job else ''}\n{said}")

    def keep(self, text: str) -> None:
        self.shown += text.replace(self.url, "URL").replace(str(self.folder), "/home/ann") + "\n"


def quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def migrate_scene(shell: Shell) -> None:
    shell.run("migrate", "--plan")
    shell.run("migrate")
    shell.run("migrate")
    shell.run("status")


def rehearse_scene(shell: Shell) -> None:
    shell.run("migrate", "--rehearse")


def verify_scene(shell: Shell) -> None:
    migrate.migrate(shell.url, checks=False)
    shell.run("verify", "--layer", "ledger")
    with psycopg.connect(shell.url, autocommit=True) as conn:
        conn.execute("alter table public.jobs disable row level security")
        conn.execute("alter table public.kanban_cards disable trigger jobsdb_t30_guard")
    shell.run("verify", "--layer", "security")
    shell.shown = re.sub(r"((?:  ok    .*\n){3})(?:  ok    .*\n)+", r"\1  ...\n", shell.shown)


def seed_scene(shell: Shell) -> None:
    migrate.migrate(shell.url, checks=False)
    shell.run("seed", "--list")
    shell.run("seed")
    shell.run("seed", "--remove", "--yes")


def demo_scene(shell: Shell) -> None:
    shell.run("demo", "-d", shell.url)


def watch_scene(shell: Shell) -> None:
    with psycopg.connect(shell.url, autocommit=True) as conn:
        campaigns(conn)
        shell.run("watch", "--timeout", "100ms")
        shell.run("watch", "Spring offers")
        shell.run("report", "Spring offers", "-o", "spring.html")


def live_scene(shell: Shell) -> None:
    with psycopg.connect(shell.url, autocommit=True) as conn:
        campaigns(conn)
    shell.draw(None)
    shell.draw("Autumn")
    shell.draw("Spring offers")


def errors_scene(shell: Shell) -> None:
    shell.run("migrat")
    shell.run("migrate", "--wait", "soon")
    shell.run("status", "-d", "postgresql://ann@127.0.0.1:1/crm")
    shell.run("status", "-d", shell.url.replace(f"/{database(shell.url)}?", "/no_such?"))
    shell.run("status", "-d", f"postgresql://ann:{SECRET}@[crm")
    shell.run("status", "-d", shell.url.replace("postgres@", f"postgres:{SECRET}@"))
    shell.run("watch")
    shell.run("seed", "nothing")
    migrate.migrate(shell.url, checks=False)
    shell.run("watch", "nothing")
    shell.run("report", "nothing", "-o", "page.html")
    shell.run("seed", "--step", "4")


def campaigns(conn: psycopg.Connection) -> None:
    """Campaigns in every stage, with a name that is too long and one that is an attack."""
    migrate.migrate(str(conn.info.dsn), checks=False)
    over = new_job(conn, name="Spring offers")
    new_task(conn, over, "done", kind="research")
    new_card(conn, over, "rejected")
    move_job(conn, over, "succeeded")
    autumn = new_job(conn, name="Autumn")
    for status, number in (("done", 17), ("error", 2), ("running", 1), ("pending", 8)):
        for _ in range(number):
            new_task(conn, autumn, status)
    for state, number in (("in_review", 9), ("approved", 4), ("rejected", 2)):
        for _ in range(number):
            new_card(conn, autumn, state)
    new_job(conn, status="pending", name=f"{'A very long name, ' * 10}and then some")
    new_job(conn, name="\x1b[2J<script>")


def help_scene(words: tuple[str, ...]) -> Callable[[Shell], None]:
    return lambda shell: shell.run(*words, "--help")


def every_command() -> Iterator[tuple[str, ...]]:
    yield ()
    for name, command in cli.commands.items():
        yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.commands)


SCENES: dict[str, Callable[[Shell], None]] = {
    "migrate": migrate_scene,
    "rehearse": rehearse_scene,
    "verify": verify_scene,
    "seed": seed_scene,
    "demo": demo_scene,
    "watch": watch_scene,
    "watch-live": live_scene,
    "errors": errors_scene,
    **{"-".join(("help", *words)): help_scene(words) for words in every_command()},
}


@pytest.fixture(params=[False, True], ids=["plain", "colour"])
def shell(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[Shell]:
    """Return a shell with an empty database of its own."""
    with new_database(server) as url:
        yield Shell(url, tmp_path, colour=request.param)


@pytest.mark.parametrize("name", SCENES)
def test_the_screen_is_as_it_was_kept(shell: Shell, name: str) -> None:
    SCENES[name](shell)
    shown = shell.shown
    assert SECRET not in re.sub(r"(?m)^\$ .*$", "", shown)
    bare = ESCAPE.sub("", shown)
    assert "\x1b" not in bare
    if not shell._colour:
        assert bare == shown, "an escape code without colour"
    kept = usual(shown).replace("\x1b", "␛")
    lines = [line for line in ESCAPE.sub("", usual(shown)).splitlines() if len(line) > WIDTH]
    wide = [line for line in lines if not SENTENCE.match(line)]
    file = KEPT / f"{name}{'.colour' if shell._colour else ''}.txt"
    if shell._colour and bare == shown:  # nothing of it has a colour
        file = KEPT / f"{name}.txt"
    if WRITE:
        KEPT.mkdir(exist_ok=True)
        file.write_text(kept)
    assert not wide
    assert file.exists(), "not kept yet: JOBSDB_SCREENS=write"
    assert kept == file.read_text(), "another screen: JOBSDB_SCREENS=write, and read the difference"


def usual(text: str) -> str:
    """The text without what is different each time."""
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_every_kept_screen_belongs_to_a_command() -> None:
    names = {path.name.removesuffix(".txt").removesuffix(".colour") for path in KEPT.glob("*")}
    assert names == set(SCENES)


def test_what_a_terminal_would_obey_is_not_kept() -> None:
    assert not [path.name for path in KEPT.glob("*") if "\x1b" in path.read_text()]
    assert render.clean("\x1b[2J") == "\ufffd[2J"
