"""`jobsdb doctor`: is what jobsdb lives in as it should be? It only reads.

`verify` checks jobsdb itself. The checks here are sql/doctor/, with headers as those of verify (see
checks.py). Each is one SELECT of state, sentence and remedy; no row means ok. 6xxx are about the
connection, the server and its sessions; 7xxx about the life of jobsdb, so they are not asked before
it is installed. $1 is what context.sql of verify tells, and:

    pooled      whether a connection pooler stands between
    lacks       what the caller would need to deploy, as preflight.py finds it: sentence, remedy
    ours        the names jobsdb has in schema public
    patience    how old transactions, and work nobody does, may become: an interval
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from jobsdb import __version__, connect, errors, render
from jobsdb.check import checks
from jobsdb.check.checks import Check
from jobsdb.check.verify import SETTINGS
from jobsdb.deploy import preflight
from jobsdb.errors import Exit
from jobsdb.sqlfiles import sql_root

if TYPE_CHECKING:
    from jobsdb.connect import Connection

State = Literal["ok", "warn", "bad", "skip"]

HOLES = "3350"
"""The check of verify that knows which releases of PostgreSQL have holes."""

_LIMITS = "set local lock_timeout = 2000; set local statement_timeout = 30000;"
# Rather an error than an answer about the rows a policy lets through; not of tables of others.
_ALL_ROWS = "set local row_security = off"
_IS_THERE = "select pg_catalog.to_regclass(%s) is not null"
_TALLY: dict[State, str] = {"ok": "ok", "warn": "to mind", "bad": "bad", "skip": "not seen"}


@dataclass(frozen=True)
class Finding:
    """What a check says: one line."""

    number: str
    state: State
    sentence: str
    remedy: str | None
    so: str | None
    """What can go wrong; of a warning or worse."""
    file: str


def run(conn: Connection, patience_s: float, *, as_json: bool) -> Exit:
    """Examine a database and print the findings: NO when something is bad. Errors: JobsdbError."""
    findings = examine(conn, patience_s)
    counts = Counter(finding.state for finding in findings)
    if as_json:
        render.document(
            {
                "version": 1,
                "healthy": not counts["bad"],
                "counts": {state: counts[state] for state in _TALLY},
                "package": __version__,
                "database": connect.identity(conn),
                "findings": [asdict(finding) for finding in findings],
            }
        )
    else:
        for line, style in _lines(findings):
            render.out(line, style)
        tally = (f"{counts[state]} {said}" for state, said in _TALLY.items() if counts[state])
        render.out(f"{len(findings)} findings, {', '.join(tally)}.")
    if counts["skip"]:
        user = connect.quoted(conn.info.user)
        render.say(
            f"hint: to see everything: grant pg_read_all_data, pg_read_all_stats to {user};"
            f" alter role {user} bypassrls;"
        )
    return Exit.NO if counts["bad"] else Exit.DONE


def examine(conn: Connection, patience_s: float = 300) -> list[Finding]:
    """All findings, in the order of their checks, each of them in a transaction of its own.

    Errors: JobsdbError when the connection is lost.
    """
    import psycopg

    try:
        context = _context(conn, patience_s)
        asked = [check for check in load() if context["installed"] or check.number < "7"]
        return [finding for check in asked for finding in look(conn, check, context)]
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc


def load() -> list[Check]:
    """The checks, and that of verify about the server."""
    borrowed = [check for check in checks.load_checks() if check.number == HOLES]
    return borrowed + checks.load_checks(sql_root() / "doctor")


def look(conn: Connection, check: Check, context: dict[str, Any]) -> Iterator[Finding]:
    """What one check finds, or that it is ok, or why it could not look.

    Errors: psycopg.Error when the connection is lost.
    """
    import psycopg

    rows: list[tuple[State, str, str | None]]
    try:
        with connect.asking(conn):
            _run_all(conn, SETTINGS + _LIMITS)
            if check.needs and conn.execute(_IS_THERE, (check.needs,)).fetchone() == (False,):
                return
            rows = _ask(conn, check, context) or [("ok", check.sentence, None)]
    except psycopg.Error as exc:
        if conn.closed:
            raise
        failed = errors.from_postgres(exc)
        rows = [("skip", f"{check.sentence}? Not seen: {failed.detail or failed.sentence}", None)]
    for state, sentence, remedy in rows:
        so = check.so if state in ("warn", "bad") else None
        yield Finding(check.number, state, sentence, remedy, so, check.docs)


def _ask(
    conn: Connection, check: Check, context: dict[str, Any]
) -> list[tuple[State, str, str | None]]:
    """The rows of a check. Errors: psycopg.Error."""
    from psycopg import RawCursor
    from psycopg.types.json import Jsonb

    if not check.needs:
        conn.execute(_ALL_ROWS)
    rows = RawCursor(conn).execute(check.sql.encode(), [Jsonb(context)]).fetchall()
    if check.number == HOLES:
        return [
            ("warn", f"{thing} {present} has holes that {newest} has not", fix)
            for thing, newest, present, fix in rows
        ]
    return [(state, sentence, remedy) for state, sentence, remedy in rows]


def _context(conn: Connection, patience_s: float) -> dict[str, Any]:
    """What every check is told. Errors: psycopg.Error."""
    with connect.asking(conn):
        _run_all(conn, SETTINGS)
        problems = preflight.problems(conn)
        row = conn.execute(checks.text(sql_root() / "verify" / "context.sql").encode()).fetchone()
    return {
        **(row[0] if row else {}),
        "pooled": connect.behind_pooler(conn),
        "lacks": [[problem.sentence, problem.hint] for problem in problems],
        "ours": [name for name, _ in checks.expected_facts()["ours"]],
        "patience": f"{patience_s} seconds",
    }


def _run_all(conn: Connection, text: str) -> None:
    """Statements in one round trip."""
    cursor = conn.execute(text.encode())
    while cursor.nextset():
        pass


def _lines(findings: Sequence[Finding]) -> Iterator[tuple[str, str | None]]:
    """The findings for people, each line with its style; what can go wrong once a check."""
    for number, group in groupby(findings, key=lambda finding: finding.number):
        some = list(group)
        for finding in some:
            style = finding.state if finding.state in ("warn", "bad") else None
            yield f"  {finding.state:<4}  {number} {finding.sentence}", style
            if finding.so and finding is some[0]:
                yield f"             so:  {finding.so}", None
            if finding.remedy:
                yield f"             fix: {finding.remedy}", None
