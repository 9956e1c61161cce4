"""`jobsdb verify`: is a database what this release would make of it? Only reads.

Every check is one SELECT in sql/verify/, numbered by its layer, that returns what it finds: object,
what is missing, what is extra, and the fix. No row means ok. Its header says the rest:

    -- 2180 Every trigger is as released.   number and sentence, as in the name of the file
    -- so: moves are not proved             what can go wrong
    -- level: warning                       of its findings: failure (default), warning or note
    -- extra: warning                       of findings that are only too much; or: ignored

Its one parameter, $1, is what context.sql tells about the database, `ours` (the names jobsdb has in
schema public) and `facts`: what is expected, from expected.txt (see golden.py), or for the ledger
the files of the package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobsdb import errors
from jobsdb.errors import Exit
from jobsdb.sqlfiles import SqlFile, load, normalise, sql_root

if TYPE_CHECKING:
    from jobsdb.connect import Connection

Layer = Literal["ledger", "structure", "security", "data", "behaviour"]
Level = Literal["failure", "warning", "note", "ignored"]
Word = Literal["ok", "FAIL", "warn", "note", "skip"]
Facts = dict[str, list[list[str]]]

LAYERS: dict[str, Layer] = {
    "1": "ledger",
    "2": "structure",
    "3": "security",
    "4": "data",
    "5": "behaviour",
}
WORDS: dict[Level, Word] = {"failure": "FAIL", "warning": "warn", "note": "note"}

AGAIN = "jobsdb migrate --again"
"""Applies the whole present state, though the ledger says that nothing of it has changed."""

SETTINGS = (
    # Named last, or else first of all: a temporary type must not take the place of a real one.
    "set local search_path = pg_catalog, pg_temp;"
    "set local timezone = 'UTC';"
    "set local datestyle = 'ISO, MDY';"
    "set local intervalstyle = 'postgres';"
    "set local quote_all_identifiers = off;"
    "set local standard_conforming_strings = on;"
    "set local transform_null_equals = off;"
    "set local idle_in_transaction_session_timeout = 60000;"
)
_BEGIN = (
    # After a first query no code that runs later could make the transaction writable again.
    "begin isolation level read committed read only; select 1;"
    + SETTINGS
    # Rather an error than an answer about the rows a policy lets through.
    + "set local row_security = off;"
    "set local jit = off;"
    "set local lock_timeout = 5000;"
    "set local statement_timeout = 300000"
)
_DRIFT = ("22", "3F", "42")
"""Classes of SQLSTATE by which a check itself stumbles over what it looks for."""


@dataclass(frozen=True)
class Check:
    """One file of sql/verify/."""

    number: str
    sentence: str
    so: str
    level: Level
    extra: Level
    path: str
    sql: str

    @property
    def layer(self) -> Layer:
        """The layer its number belongs to."""
        return LAYERS[self.number[0]]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    object: str
    missing: str | None
    extra: str | None
    fix: str | None
    level: Level = "failure"


@dataclass
class Result:
    """What a check has found; `unreadable` says why it could not look."""

    check: Check
    findings: list[Finding] = field(default_factory=list)
    unreadable: str | None = None
    passed: int = 0
    """Number of assertions that held (behaviour only)."""

    @property
    def word(self) -> Word:
        """The verdict: the worst of its findings."""
        levels = {finding.level for finding in self.findings}
        clean: Word = "skip" if self.unreadable else "ok"
        return next((word for level, word in WORDS.items() if level in levels), clean)


def run(database: str | None, layers: Sequence[str], behaviour: bool, yes: bool, fmt: str) -> Exit:
    """Verify a database and print the result: DONE when clean, NO when a check fails, CONNECT when
    none fails but some could not look.

    `layers` empty means all; `fmt` is text, brief, tap or json. Errors: JobsdbError.
    """
    from jobsdb import render, report
    from jobsdb.connect import open_database

    with open_database(database) as conn:
        results = examine(conn, layers)
        if behaviour:
            from jobsdb import behaviour as proof

            results += proof.prove(conn, yes=yes)
            render.say("the proof was rolled back; only the numbers of sequences have moved on")
        report.show(conn, results, fmt)
    if any(result.word == "FAIL" for result in results):
        return Exit.NO
    # What the host's own tables do not let an invented tenant try says nothing about jobsdb.
    unread = any(result.word == "skip" and result.check.number < "5" for result in results)
    return Exit.CONNECT if unread else Exit.DONE


def examine(conn: Connection, layers: Sequence[str] = ()) -> list[Result]:
    """Run the checks of some layers (all of them by default) in one read-only transaction.

    Errors: JobsdbError, also when jobsdb is not installed.
    """
    import psycopg

    checks = [check for check in load_checks() if check.layer in (layers or LAYERS.values())]
    try:
        _run_all(conn, _BEGIN)
        return inspect(conn, checks)
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc
    finally:
        _end(conn)


def inspect(
    conn: Connection,
    checks: Sequence[Check],
    files: Sequence[SqlFile] | None = None,
    reopen: Callable[[], None] | None = None,
) -> list[Result]:
    """Run checks in the transaction that is open; after an error, in a new one, or `reopen`.

    Errors: psycopg.Error when it is not about what a check looks at; JobsdbError.
    """
    facts = expected_facts()
    hashes = [[file.path, file.sha256] for file in (load() if files is None else files)]
    context = describe(conn)
    context["ours"] = [name for name, _ in facts["ours"]]
    facts.update({check.number: hashes for check in checks if check.layer == "ledger"})
    again = reopen or (lambda: _reopen(conn))
    return [_look(conn, c, {**context, "facts": facts.get(c.number, [])}, again) for c in checks]


def describe(conn: Connection) -> dict[str, Any]:
    """What every check is told of the database. Errors: JobsdbError when jobsdb is not there."""
    row = conn.execute(_text(sql_root() / "verify" / "context.sql").encode()).fetchone()
    context: dict[str, Any] = row[0] if row else {}
    if not context.get("installed"):
        raise errors.JobsdbError(
            "jobsdb is not installed in this database",
            code=Exit.NO,
            hint="Install it: jobsdb migrate",
        )
    context["again"] = AGAIN
    return context


def snapshot(conn: Connection) -> Facts:
    """Everything the checks compare, as it is in a database on which there is nothing but jobsdb.

    That is what they find when nothing is expected. Two databases whose snapshots are equal are
    equal to jobsdb; the snapshot of a fresh one is the golden expectation (see golden.py).
    """
    try:
        _run_all(conn, _BEGIN)
        context = describe(conn)
        context["ours"] = [name for (name,) in conn.execute(_PUBLIC_NAMES)]
        facts: Facts = {"ours": [[name, ""] for name in context["ours"]]}
        for check in load_checks():
            if "'facts'" in check.sql and check.layer != "ledger":
                rows = _ask(conn, check, {**context, "facts": []})
                facts[check.number] = [[row[0], row[2]] for row in rows]
        return facts
    finally:
        _end(conn)


_PUBLIC_NAMES = (
    "select 'public.' || o.name from (select relname::text as name from pg_catalog.pg_class"
    " where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'S')"
    " union select proname from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace"
    " union select typname from pg_catalog.pg_type"
    " where typnamespace = 'public'::regnamespace and typtype in ('d', 'e')) as o order by 1"
)


def load_checks(folder: Path | None = None) -> list[Check]:
    """The checks in a folder, sql/verify/ by default, in order of their numbers."""
    folder = sql_root() / "verify" if folder is None else folder
    return [_read(path) for path in sorted(folder.glob("[0-9]*.sql"))]


def expected_facts() -> Facts:
    """The golden expectations: [object, definition] pairs by number of the check."""
    facts: Facts = {}
    for line in _text(sql_root() / "verify" / "expected.txt").splitlines():
        if line and not line.startswith("#"):
            number, *fact = line.split("\t")
            facts.setdefault(number, []).append(fact)
    return facts


def _look(
    conn: Connection, check: Check, context: dict[str, Any], reopen: Callable[[], None]
) -> Result:
    """Run one check. Errors: psycopg.Error when it is not about what the check looks at."""
    import psycopg

    try:
        rows = _ask(conn, check, context)
    except psycopg.Error as exc:
        state = exc.sqlstate or ""
        if not state.startswith(_DRIFT):
            raise
        reopen()
        said = errors.first_line(str(exc))
        if state == "42501":
            return Result(check, unreadable=said)
        return Result(check, [Finding("this check", "an answer", said, "Mend what 2xxx names.")])
    found = (
        Finding(thing, missing, extra, fix, check.extra if missing is None else check.level)
        for thing, missing, extra, fix in rows
    )
    return Result(check, [finding for finding in found if finding.level != "ignored"])


def _ask(conn: Connection, check: Check, context: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows a check returns, with what it is told as $1."""
    from psycopg import RawCursor
    from psycopg.types.json import Jsonb

    return RawCursor(conn).execute(check.sql.encode(), [Jsonb(context)]).fetchall()


def _run_all(conn: Connection, text: str) -> None:
    """Statements in one round trip."""
    cursor = conn.execute(text.encode())
    while cursor.nextset():
        pass


def _reopen(conn: Connection) -> None:
    _end(conn)
    _run_all(conn, _BEGIN)


def _end(conn: Connection) -> None:
    if not conn.closed and conn.info.transaction_status != 0:
        conn.execute("rollback")


def _read(path: Path) -> Check:
    """A check, with what its header says."""
    sql = _text(path)
    header = sql.split("\nselect", 1)[0].split("\nwith", 1)[0]
    first = re.match(r"-- (\d{4}) (.+)\.\n", sql)
    if first is None:
        raise errors.JobsdbError(
            f"{path.name} does not begin with its number and sentence", code=Exit.INTERNAL
        )
    said = {key: " ".join(text.split("\n--")) for key, text in _HEADER.findall(header)}
    level: Level = said.get("level", "failure")  # type: ignore[assignment]
    extra: Level = said.get("extra", level)  # type: ignore[assignment]
    so = " ".join(said.get("so", "").split())
    return Check(first[1], first[2], so, level, extra, f"verify/{path.name}", sql)


_HEADER = re.compile(r"^-- (so|level|extra): (.+(?:\n--     .+)*)", re.MULTILINE)


def _text(path: Path) -> str:
    return normalise(path.read_bytes())
