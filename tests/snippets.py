"""Runs the fenced blocks of a document, one after the other, against a database of its own.

    ```sql              statements, as the owner; with `as=authenticated` or another role in the
                        info string as that role, `authenticated` with the JWT of YOU
    ```sh, python       a script; one with `fetches=` may fail where nothing can be fetched: then
                        the rest of the document is left out
    ```console          a transcript: `$ ` a command, `=> ` SQL (goes on after `-> `), then what it
                        says. `…` stands for anything, also for lines, 733fc161-… for a uuid that
                        is called so from then on; times and numbers of checks may differ, and psql
                        leaves out CONTEXT
    ... file=NAME       is written to that file and not run
    ... not-run="why"   cannot be run here
    <!-- before: ... -->  commands a reader of this document has behind him

`python tests/snippets.py FILE` writes the transcripts of a document anew, as they are now.
"""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from commands import environment
from door import door

ROOT = Path(__file__).parent.parent
LANGUAGES = ("sql", "console", "sh", "python", "ts", "go")
YOU = "11111111-1111-4111-8111-111111111111"

_FENCE = re.compile(r"^```(\w*)[ \t]*(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_BEFORE = re.compile(r"<!-- before: (.+?) -->")
_WORDS = re.compile(r'([\w-]+)=(?:"([^"]*)"|(\S+))')
_PROMPT = re.compile(r"^(\$|=>) ")
_MARK = "--- end of output ---"
_TIME = r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?UTC|Z|\+\d\d(?::\d\d)?)?)?"
_LOOSE = {
    # What may differ: as it is written, and what it then stands for.
    "uuid": (r"[0-9a-f]{8}-…", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "hash": (r"[0-9a-f]{8}…", r"[0-9a-f]{32,}"),
    "any": (r"…", r"[^\n]*"),
    "time": (_TIME, _TIME),
    "clock": (r"\d\d:\d\d:\d\d(?:\.\d+)?", r"\d\d:\d\d:\d\d(?:\.\d+)?"),
    "seconds": (r"\d+\.\d+ ?m?s\b", r"\d+\.\d+ ?m?s\b"),
    "where": (r"connected to .*", r"connected to .*"),
    "tally": (r"\d+ (?:checks|findings), \d+ ok", r"\d+ (?:checks|findings), \d+ ok"),
    "rule": (r"-{3,}[-+]*", r"-{3,}[-+]*"),
    "space": (r" +", r" +"),
}
_TOKEN = re.compile("|".join(f"(?P<{name}>{written})" for name, (written, _) in _LOOSE.items()))


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    words: dict[str, str]
    text: str
    line: int
    span: tuple[int, int]
    """Where its text stands in the document."""

    @property
    def reason(self) -> str | None:
        """Why it is not run."""
        return self.words.get("not-run")


@dataclass
class Entry:
    """A command of a transcript and what it says."""

    prompt: str
    lines: list[str]
    output: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """What is typed."""
        return "\n".join(re.sub(r"^(\$|=>|->|>) ?", "", line) for line in self.lines)


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a document that are run, written, or say why not."""
    for match in _FENCE.finditer(text):
        words = {name: quoted or bare for name, quoted, bare in _WORDS.findall(match[2])}
        if match[1] in LANGUAGES or "file" in words:
            line = text.count("\n", 0, match.start()) + 1
            yield Block(match[1], words, match[3], line, match.span(3))


def entries(text: str) -> list[Entry]:
    """A transcript taken apart."""
    found: list[Entry] = []
    for line in text.splitlines():
        if begins := _PROMPT.match(line):
            found.append(Entry(begins[1], [line]))
        elif not found[-1].output and re.match(r"(->|>) ", line):
            found[-1].lines.append(line)
        else:
            found[-1].output.append(line)
    return found


class CannotFetch(Exception):
    """What a document fetches from a registry cannot be had here."""


class Reader:
    """Somebody who follows a document: his folder, his shell and his psql."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, str] = {}
        """What stands for which uuid or hash."""
        host, port = re.findall(r"host=([^&]+)&port=(\d+)", url)[0]
        name = url.partition("?")[0].rpartition("/")[2]
        self.open = ExitStack()
        outside = self.open.enter_context(door(host, port))
        programs = folder / ".programs"
        programs.mkdir()
        for program, does in (
            ("jobsdb", f"{sys.executable} -m jobsdb"),
            ("python", sys.executable),
        ):
            (programs / program).write_text(f'#!/bin/sh\nexec {does} "$@"\n')
            (programs / program).chmod(stat.S_IRWXU)
        self.env = environment(
            PGHOST=host, PGPORT=port, PGUSER="postgres", PGDATABASE=name, PGTZ="UTC",
            DATABASE_URL=f"postgresql://postgres@127.0.0.1:{outside}/{name}?sslmode=disable",
            JOBSDB_HOME=str(folder / ".jobsdb"), LC_ALL="C.UTF-8",
            PATH=f"{programs}:{os.environ['PATH']}",
        )  # fmt: skip
        self.status = 0
        self.psql = subprocess.Popen(
            ["psql", "-X", "-v", "SHOW_CONTEXT=never"], cwd=folder, env=self.env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def close(self) -> None:
        """Leave psql."""
        assert self.psql.stdin
        self.psql.stdin.close()
        self.psql.wait(timeout=60)
        assert self.psql.stdout
        self.psql.stdout.close()
        self.open.close()

    def query(self, statements: str) -> list[str]:
        """What psql says to statements."""
        assert self.psql.stdin
        assert self.psql.stdout
        self.psql.stdin.write(f"{statements}\n\\! echo '{_MARK}'\n")
        self.psql.stdin.flush()
        said = []
        while (line := self.psql.stdout.readline()) not in (f"{_MARK}\n", ""):
            said.append(re.sub(r"^psql:<stdin>:\d+: ", "", line.rstrip()))
        return said[:-1] if said and not said[-1] else said

    def shell(self, script: str, *options: str) -> list[str]:
        """What a command says; its exit code is `$?` of the next."""
        done = subprocess.run(
            ["bash", *options, "-c", f"(exit {self.status})\n{script}"],
            cwd=self.folder, env=self.env, text=True, timeout=240,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.status = done.returncode
        return [line.rstrip() for line in done.stdout.splitlines()]

    def named(self, text: str) -> str:
        """Text with the uuids for which something stands."""

        def name(match: re.Match[str]) -> str:
            assert match[0] in self.names, f"nothing before this is called {match[0]}"
            return self.names[match[0]]

        return re.sub(r"[0-9a-f]{8}(-…|…)", name, text)

    def follow(self, block: Block) -> list[Entry]:
        """Do what a block says; of a transcript, what was said this time."""
        if block.reason is not None:
            return []
        text = self.named(block.text) if block.language != "console" else block.text
        if name := block.words.get("file"):
            (self.folder / name).write_text(text)
        elif block.language == "console":
            return [self.type(entry) for entry in entries(text)]
        elif block.language == "sql":
            self.run_sql(text, block.words.get("as"))
        else:
            self.run_script(block.language, text, fetches="fetches" in block.words)
        return []

    def type(self, entry: Entry) -> Entry:
        """Type a command of a transcript; remembers what its output calls by a short name."""
        command = self.named(entry.command)
        said = self.shell(command) if entry.prompt == "$" else self.query(command)
        if expected := pattern(entry.output, self.names):
            names, regex = expected
            if match := re.fullmatch(regex, "\n".join(said)):
                self.names.update(zip(names, match.groups(), strict=True))
            assert self.status == 0 or entry.output, f"{command}: {said}"
        return Entry(entry.prompt, entry.lines, said)

    def run_sql(self, text: str, role: str | None) -> None:
        """Run statements, each of which has to succeed."""
        if role:
            self.query(f"set role {role};")
        if role == "authenticated":
            self.query(f'set request.jwt.claims = \'{{"sub": "{YOU}"}}\';')
        said = self.query(text)
        self.query("rollback; reset role; reset request.jwt.claims;")
        errors = [line for line in said if re.match(r"(ERROR|FATAL|invalid)", line)]
        assert not errors, said

    def run_script(self, language: str, text: str, *, fetches: bool) -> None:
        """Run a script, which has to succeed."""
        if language == "sh":
            said = self.shell(text, "-eu", "-o", "pipefail")
            if self.status and fetches:
                raise CannotFetch(said)
        else:
            (self.folder / "snippet").write_text(text)
            assert language == "python", f"{language} is run from a file, by a console block"
            said = self.shell("python snippet")
        assert self.status == 0, said


def pattern(output: list[str], names: dict[str, str]) -> tuple[list[str], str]:
    """A regular expression for what is shown, and the names its groups stand for."""
    named: list[str] = []
    known = dict(names)

    def loosened(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        if kind not in ("uuid", "hash"):
            return _LOOSE[kind][1]
        if match[0] in named:
            return rf"\{named.index(match[0]) + 1}"
        if match[0] in known:
            return re.escape(known[match[0]])
        named.append(match[0])
        return f"({_LOOSE[kind][1]})"

    def line(text: str) -> str:
        made, place = "", 0
        for match in _TOKEN.finditer(text):
            made += re.escape(text[place : match.start()]) + loosened(match)
            place = match.end()
        return made + re.escape(text[place:])

    lines = [r"(?s:.*)" if text.strip() == "…" else line(text.rstrip()) for text in output]
    return named, r" *\n".join(lines)


def matches(shown: Entry, said: Entry, names: dict[str, str]) -> bool:
    """Whether a transcript shows what was said."""
    found = re.fullmatch(pattern(shown.output, names)[1], "\n".join(said.output))
    return found is not None


def short(entry: Entry, said: list[str], names: dict[str, str]) -> list[str]:
    """Output as it is shown: uuids and hashes as they are called or cut, tables aligned anew."""
    text = "\n".join(said)
    for kind, dots in (("uuid", "-…"), ("hash", "…")):
        called, full = (rf"(?<!\w){form}" for form in _LOOSE[kind])
        before = re.findall(called, "\n".join(entry.output))
        for name, value in zip(before, re.findall(full, text), strict=False):
            names.setdefault(name, value)
        for name, value in names.items():
            text = text.replace(value, name)
        text = re.sub(full, lambda match, dots=dots: match[0][:8] + dots, text)
    text = re.sub(r"connected to \S+ ", "connected to postgres@localhost:5432/crm ", text)
    shown = text.splitlines()
    for place, line in enumerate(shown):
        if re.fullmatch(r"-+(\+-+)*", line) and place:
            end = place + 1
            while end < len(shown) and not re.fullmatch(r"\(\d+ rows?\)", shown[end]):
                end += 1
            rows = [[c.strip() for c in row.split(" | ")] for row in shown[place + 1 : end]]
            heads = [cell.strip() for cell in shown[place - 1].split("|")]
            if any(len(row) != len(heads) for row in rows):
                continue
            widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
            shown[place - 1] = _row(heads, widths)
            shown[place] = "+".join("-" * (width + 2) for width in widths)
            shown[place + 1 : end] = [_row(row, widths) for row in rows]
    return shown


def _row(cells: list[str], widths: list[int]) -> str:
    padded = (f" {cell.ljust(width)} " for cell, width in zip(cells, widths, strict=True))
    return "|".join(padded).rstrip()


def before(text: str) -> list[str]:
    """The commands a reader of this document has behind him."""
    return [command for said in _BEFORE.findall(text) for command in said.split(" && ")]


def rewrite(path: Path, reader: Reader) -> None:
    """Write the transcripts of a document anew where they show something else."""
    text = path.read_text()
    for command in before(text):
        reader.shell(command)
        assert reader.status == 0, command
    made, place = "", 0
    for block in blocks(text):
        shown = entries(block.text) if block.language == "console" else []
        new = ""
        for entry in shown if block.reason is None else ():
            said = reader.type(entry)
            if not matches(entry, said, reader.names):
                entry.output = short(entry, said.output, reader.names)
            new += "".join(f"{line}\n" for line in [*entry.lines, *entry.output])
        if not new:
            reader.follow(block)
            new = block.text
        made += text[place : block.span[0]] + new
        place = block.span[1]
    path.write_text(made + text[place:])


def main(names: list[str]) -> None:
    """Write documents anew, on a server of our own."""
    import tempfile

    from helpers import BINDIR, new_database
    from jobsdb import local

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        root = Path(folder)
        root.chmod(0o755)
        server = local.start("docs", None, BINDIR, root)
        try:
            for number, name in enumerate(names):
                (home := root / f"reader{number}").mkdir()
                with new_database(server) as url:
                    reader = Reader(url, home)
                    try:
                        rewrite(Path(name), reader)
                    finally:
                        reader.close()
                print(name)
        finally:
            local.stop("docs", root)


if __name__ == "__main__":
    main(sys.argv[1:])
