"""The examples of the reference: SQL of sql/docs/, tried in a campaign of three contacts.

All of it happens in one transaction, which is rolled back, so a clock stands still, and each
example is taken back before the next. What differs from run to run is written as what it stands
for: an id by a name made of what it is, a time by how long after the beginning it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobsdb import errors, sqlfiles
from jobsdb.campaigns import samples

if TYPE_CHECKING:
    from jobsdb.connect import Connection

BEGINNING = datetime(2026, 1, 5, 9, tzinfo=UTC)
ORGANISATION = samples.sample_id("reference")

_PART = re.compile(
    r"^-- (?:(?:moment|after) (?P<moment>\w+)|shown), as (?P<who>\w+)(?:, (?P<gap>.+) later)?\n",
    re.MULTILINE,
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(?:\.\d+)?(\+00(?::00)?)")
_CLAIMS = {
    "owner": ("none", ""),
    "tenant": ("authenticated", f'{{"sub": "{ORGANISATION}", "role": "authenticated"}}'),
    "service": ("service_role", '{"role": "service_role"}'),
}
_ACT = (
    "select pg_catalog.set_config('search_path', 'public', true),"
    " pg_catalog.set_config('role', %s, true),"
    " pg_catalog.set_config('request.jwt.claims', %s, true)"
)
_BEGIN = (
    "set local timezone = 'UTC'; set local datestyle = 'ISO, MDY';"
    "set local intervalstyle = 'postgres'; set local client_min_messages = warning;"
    "alter sequence public.job_tasks_id_seq restart; alter sequence jobsdb.sends_id_seq restart"
)
_KEEP_IDS = (
    # Numbers that were drawn are not given back, unless the sequence was rewritten meanwhile.
    "alter sequence public.job_tasks_id_seq no cycle; alter sequence jobsdb.sends_id_seq no cycle"
)
_AS_AT_COMMIT = "set constraints all immediate; set constraints all deferred"
_HAS_JOBS = "select exists (select from public.jobs)"
_NUMBERS = frozenset((20, 21, 23, 700, 701, 1700))
"""Types that stand flush right, by their numbers in pg_type."""


@dataclass(frozen=True)
class Part:
    """Statements somebody sends, some time after those before."""

    file: str
    moment: str | None
    who: str
    gap: str | None
    statements: list[str]


@dataclass(frozen=True)
class Example:
    """What was sent, as whom; each statement with what came back, as psql shows it."""

    who: str
    exchanges: list[tuple[str, str]]


def play(conn: Connection) -> dict[str, Example]:
    """Every example, by the name of its function or view; nothing stays behind.

    Errors: Refused where there are jobs, whose work the examples would claim; JobsdbError.
    """
    import psycopg

    try:
        if conn.execute(_HAS_JOBS).fetchone() == (True,):
            raise errors.Refused(
                "this database has jobs, and the examples would claim their tasks",
                hint="Leave -d away: the reference then comes from a throw-away database.",
            )
        with conn.transaction(force_rollback=True):
            return dict(_play(conn))
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc


def _play(conn: Connection) -> Iterator[tuple[str, Example]]:
    folder = sqlfiles.sql_root() / "docs"
    examples = {path.stem: parts(path) for path in sorted((folder / "examples").glob("*.sql"))}
    teller = Teller(conn)
    for moment in parts(folder / "story.sql"):
        teller.tell(moment)
        for name, some in examples.items():
            if some[0].moment == moment.moment:
                with teller.aside():
                    for part in some[:-1]:
                        teller.tell(part)
                    yield name, Example(some[-1].who, teller.tell(some[-1]))


def parts(path: Path) -> list[Part]:
    """The parts of a file of sql/docs/. Errors: JobsdbError when it has none."""
    text = sqlfiles.normalise(path.read_bytes())
    found = list(_PART.finditer(text))
    if not found:
        raise errors.JobsdbError(f"sql/docs/{path.name} has no part", code=errors.Exit.INTERNAL)
    ends = [*(each.start() for each in found[1:]), len(text)]
    return [
        Part(
            f"sql/{path.relative_to(sqlfiles.sql_root()).as_posix()}",
            each["moment"],
            each["who"],
            each["gap"],
            [part.strip() for part in text[each.end() : end].split("\n\n") if part.strip()],
        )
        for each, end in zip(found, ends, strict=True)
    ]


@dataclass
class Teller:
    """Sends the parts of the story, and remembers what its rows are called."""

    conn: Connection
    kept: dict[str, str] = field(default_factory=lambda: {"org": ORGANISATION})
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._run(_BEGIN)
        row = self.conn.execute("select now()").fetchone()
        self.began = row[0] if row else BEGINNING

    def tell(self, part: Part) -> list[tuple[str, str]]:
        """Send a part: its statements, and what came back.

        Errors: JobsdbError with the file.
        """
        import psycopg

        try:
            return self._tell(part)
        except psycopg.Error as exc:
            raise errors.from_postgres(exc, at=part.file) from exc

    def _tell(self, part: Part) -> list[tuple[str, str]]:
        if part.gap:
            self._act("owner")
            samples.set_local(self.conn, "seed.job", self.kept["job"])
            samples.set_local(self.conn, "seed.gap", part.gap)
            self._run(samples.read("lib/time_passes.sql").text)
        self._act(part.who)
        said = [self._send(statement) for statement in part.statements]
        self._act("owner")
        self._run(_AS_AT_COMMIT)
        return said

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens inside is taken back."""
        before = dict(self.kept)
        with self.conn.transaction(force_rollback=True):
            self._run(_KEEP_IDS)
            yield
        self.kept = before

    def _act(self, who: str) -> None:
        self.conn.execute(_ACT, _CLAIMS[who])

    def _run(self, text: str) -> None:
        cursor = self.conn.execute(text.encode())
        while cursor.nextset():
            pass

    def _send(self, statement: str) -> tuple[str, str]:
        """A statement of the story, and its rows; the last row is kept."""
        names = {value: name for name, value in self.kept.items()}
        for name, value in self.kept.items():
            statement = statement.replace(f"{{{name}}}", value)
        result = self.conn.execute(statement.encode()).pgresult
        if result is None or not result.fname(0):
            return self.plain(statement, names), ""
        heads = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
        rows = [
            [(result.get_value(row, n) or b"").decode() for n in range(result.nfields)]
            for row in range(result.ntuples)
        ]
        if rows:
            self.kept.update(zip(heads, rows[-1], strict=True))
        right = [result.ftype(n) in _NUMBERS for n in range(result.nfields)]
        shown = [[self.plain(value, names) for value in row] for row in rows]
        return self.plain(statement, names), table(heads, shown, right)

    def plain(self, text: str, names: dict[str, str]) -> str:
        """The text with times and ids that are the same in every run.

        `names` are those of the ids the story knows; others are numbered as they come.
        """

        def time(found: re.Match[str]) -> str:
            at = datetime.fromisoformat(found[0].replace(" ", "T").removesuffix(":00"))
            minutes = round((at - self.began) / timedelta(minutes=1))
            return f"{BEGINNING + timedelta(minutes=minutes):%Y-%m-%d{found[1]}%H:%M:%S}{found[2]}"

        def uuid(found: re.Match[str]) -> str:
            name = names.setdefault(found[0], str(len(names)))
            return f"{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8]}-…"

        return _HASH.sub(r"\1…", _UUID.sub(uuid, _TIME.sub(time, text)))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Rows as psql shows them, those of several lines with a + where they go on."""
    cells = [[value.split("\n") for value in row] for row in rows]
    widths = [
        max(len(head), *(len(line) for row in cells for line in row[n]), 0)
        for n, head in enumerate(heads)
    ]

    def drawn(cell: list[str], line: int, n: int) -> str:
        text = cell[line] if line < len(cell) else ""
        more = "+" if line + 1 < len(cell) else " "
        return f" {text:{'>' if right[n] else '<'}{widths[n]}}{more}"

    lines = [
        "|".join(f" {_centred(head, width)} " for head, width in zip(heads, widths, strict=True)),
        "+".join("-" * (width + 2) for width in widths),
        *(
            "|".join(drawn(cell, line, n) for n, cell in enumerate(row))
            for row in cells
            for line in range(max(map(len, row)))
        ),
        f"({len(rows)} row{'' if len(rows) == 1 else 's'})",
    ]
    return "\n".join(line.rstrip() for line in lines)


def _centred(text: str, width: int) -> str:
    """In the middle, and rather to the left."""
    return f"{'':{(width - len(text)) // 2}}{text}".ljust(width)
