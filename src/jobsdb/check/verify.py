"""`jobsdb verify`: is a database what this release would make of it? Only reads.

The checks are SQL (see checks.py). Their one parameter, $1, is what context.sql tells about the
database, `ours` (the names jobsdb has in schema public) and `facts`: what is expected, from
expected.txt (see golden.py), or for the ledger the files of the package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsdb import errors
from jobsdb.check import baseline, checks
from jobsdb.check.checks import LAYERS, Check, Facts, Finding, Result, load_checks
from jobsdb.errors import Exit
from jobsdb.sqlfiles import SqlFile, load, sql_root

if TYPE_CHECKING:
    from jobsdb.connect import Connection

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
    "set local lock_timeout = 5000;"
    "set local statement_timeout = 300000"
)
_LOOK = (
    # All of it ends with the savepoint, whoever's transaction this is.
    "savepoint jobsdb_verify;"
    "set transaction read only;"
    + SETTINGS
    # Rather an error than an answer about the rows a policy lets through.
    + "set local row_security = off;"
    "set local jit = off"
)
_LOOKED = "rollback to savepoint jobsdb_verify; release savepoint jobsdb_verify"
_OPEN, _FAILED = 2, 3  # states of a transaction, in libpq's words INTRANS and INERROR
_DRIFT = ("22", "3F", "42")
"""Classes of SQLSTATE by which a check itself stumbles over what it looks for."""

_AFTER_COMMIT = ("2140", "2150", "3180", "3190")
"""What they say of an adopted table may be what `migrate` does to it once it has committed."""


def run(
    database: str | None,
    layers: Sequence[str],
    behaviour: bool,
    yes: bool,
    fmt: str,
    *,
    strict: bool = False,
    baseline_file: Path | None = None,
) -> Exit:
    """Verify a database and print the result: DONE when clean, NO when a check fails, CONNECT when
    none fails but some could not look.

    `layers` empty means all; `fmt` is brief or one of findings.FORMATS; `strict` and
    `baseline_file` as in the help. Errors: JobsdbError.
    """
    from jobsdb import render
    from jobsdb.check import findings
    from jobsdb.connect import open_database

    entries = baseline.read(baseline_file) if baseline_file else []
    with open_database(database) as conn:
        results = examine(conn, layers)
        if behaviour:
            from jobsdb.check import behaviour as proof

            results += proof.prove(conn, yes=yes)
            render.say("the proof was rolled back; only the numbers of sequences have moved on")
        if strict:
            checks.be_strict(results)
        for unused in baseline.apply(entries, results):
            render.warn(f"{baseline_file}:{unused.line} ignores nothing: {unused}")
        findings.show(conn, results, fmt)
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

    try:
        _run_all(conn, _BEGIN)
        return inspect(conn, of_layers(layers))
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc
    finally:
        _end(conn)


def check(
    conn: Connection,
    layers: Sequence[str] = (),
    some: Sequence[Check] | None = None,
    deployed: Sequence[SqlFile] | None = None,
) -> list[Result]:
    """Run the checks of some layers in the transaction that is open, to decide about its commit.

    Neither begins nor ends it: whatever is set or changed ends with a savepoint, and no lock is
    waited for longer than the transaction's own lock_timeout. What `migrate` does to adopted tables
    after the commit is left out. `some` are these checks when they have been read before,
    `deployed` what the ledger shall have. Errors: as `inspect`.
    """
    adopted = re.compile(r"public\.(kanban_cards|agent_runs)\.jobsdb_")
    some = of_layers(layers) if some is None else some
    results = inspect(conn, [each for each in some if each.number != "1050"], deployed)
    for result in results:
        if result.check.number in _AFTER_COMMIT:
            result.findings = [f for f in result.findings if not adopted.match(f.object)]
    return results


def inspect(
    conn: Connection, some: Sequence[Check], deployed: Sequence[SqlFile] | None = None
) -> list[Result]:
    """Run checks in the transaction that is open, and leave it as it was.

    Errors: psycopg.Error when it is not about what a check looks at; JobsdbError.
    """
    facts = checks.expected_facts()
    files = [[f.path, f.sha256] for f in (load() if deployed is None else deployed)]
    _run_all(conn, _LOOK)
    try:
        context = describe(conn)
        context["ours"] = [name for name, _ in facts["ours"]]
        facts.update({check.number: files for check in some if check.layer == "ledger"})
        return [_look(conn, c, {**context, "facts": facts.get(c.number, [])}) for c in some]
    finally:
        _stop_looking(conn)


def describe(conn: Connection) -> dict[str, Any]:
    """What every check is told of the database. Errors: JobsdbError when jobsdb is not there."""
    row = conn.execute(checks.text(sql_root() / "verify" / "context.sql").encode()).fetchone()
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
        _run_all(conn, _LOOK)
        context = describe(conn)
        context["ours"] = [name for (name,) in conn.execute(_PUBLIC_NAMES)]
        facts: Facts = {"ours": [[name, ""] for name in context["ours"]]}
        for each in load_checks():
            if "'facts'" in each.sql and each.layer != "ledger":
                rows = _ask(conn, each, {**context, "facts": []})
                facts[each.number] = [[row[0], row[2]] for row in rows]
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


def of_layers(layers: Sequence[str]) -> list[Check]:
    """The checks of some layers, of all without any."""
    return [check for check in load_checks() if check.layer in (layers or LAYERS.values())]


def _look(conn: Connection, check: Check, context: dict[str, Any]) -> Result:
    """Run one check. Errors: psycopg.Error when it is not about what the check looks at."""
    import psycopg

    try:
        rows = _ask(conn, check, context)
    except psycopg.Error as exc:
        state = exc.sqlstate or ""
        if not state.startswith(_DRIFT):
            raise
        _stop_looking(conn)
        _run_all(conn, _LOOK)
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


def _stop_looking(conn: Connection) -> None:
    """Back to before _LOOK, unless the connection is lost: then that is the error to tell."""
    import psycopg

    if not conn.closed and conn.info.transaction_status in (_OPEN, _FAILED):
        with suppress(psycopg.OperationalError):
            _run_all(conn, _LOOKED)


def _end(conn: Connection) -> None:
    if not conn.closed and conn.info.transaction_status != 0:
        conn.execute("rollback")
