"""`jobsdb verify --behaviour`: the contract tried out by two invented tenants, then rolled back.

The only part of verify that writes. The proofs are SQL, sql/verify/behaviour/: each file is one
result, each row its assertions return one assertion; helpers.sql has the words they are written in.
Nothing waits for anybody else's lock, and nothing stays but the sequences, which have moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from jobsdb import errors
from jobsdb.check.checks import Check, Finding, Result, load_proofs
from jobsdb.check.verify import SETTINGS
from jobsdb.errors import Exit, JobsdbError, Refused
from jobsdb.sqlfiles import normalise, sql_root

if TYPE_CHECKING:
    from jobsdb.connect import Connection

_BEGIN = (
    "begin isolation level read committed read write;" + SETTINGS + "set local lock_timeout = 200;"
    "set local statement_timeout = 10000;"
    "set local check_function_bodies = off;"
    "set local client_min_messages = warning"
)
_ROLES = (
    "select string_agg(quote_ident(r.rolname), ', ' order by r.rolname) from pg_catalog.pg_roles"
    " as r where r.rolname in ('anon', 'authenticated', 'service_role')"
    " and not pg_catalog.pg_has_role(r.oid, %s)"
)
_IS_REPLICA = "select pg_catalog.pg_is_in_recovery()"
_MAY_CREATE = "select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create')"
_HAS_JOBS = "select exists (select from public.jobs)"
_LEFT = "select count(*) from public.jobs where org_id = any(%s)"


def prove(conn: Connection, *, yes: bool) -> list[Result]:
    """Try the behaviour of the database; a result per file.

    `yes` allows it where jobs exist. Errors: Refused on a replica or without `yes`; JobsdbError
    with CONNECT when the user may not take the roles of tenants and agents.
    """
    import psycopg

    try:
        _refuse(conn, yes=yes)
        tenants = [uuid4(), uuid4()]
        try:
            results = _prove(conn, [str(tenant) for tenant in tenants])
        finally:
            if not conn.closed:
                conn.execute("rollback")
        if _answer(conn, _LEFT, tenants):
            raise JobsdbError("the proof has left rows behind", code=Exit.INTERNAL)
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc
    return results


def _refuse(conn: Connection, *, yes: bool) -> None:
    """Errors: Refused, JobsdbError, when the proof may or should not run here."""
    if _answer(conn, _IS_REPLICA):
        raise Refused(
            "this server is a read replica, and --behaviour writes before it rolls back",
            hint="Verify the behaviour on the primary server.",
        )
    member = "SET" if conn.info.server_version >= 160000 else "MEMBER"
    if missing := _answer(conn, _ROLES, member):
        raise JobsdbError(
            "--behaviour acts as tenants and agents, and this user may not",
            code=Exit.CONNECT,
            detail=f"cannot become {missing}",
            hint=f"Have an administrator run: grant {missing} to {conn.info.user};",
        )
    if not _answer(conn, _MAY_CREATE):
        raise JobsdbError(
            "--behaviour makes a schema that it rolls back, and this user may not create one",
            code=Exit.CONNECT,
            hint=f"grant create on database {conn.info.dbname} to {conn.info.user};",
        )
    if not yes and _answer(conn, _HAS_JOBS):
        raise Refused(
            "this database has jobs, and --behaviour writes before it rolls back",
            hint="It touches only rows of its own, but say --yes if this is meant.",
        )


def _prove(conn: Connection, tenants: list[str]) -> list[Result]:
    """All files in one transaction, which stays open."""
    folder = sql_root() / "verify" / "behaviour"
    _send(conn, _BEGIN)
    _send(conn, normalise((folder / "helpers.sql").read_bytes()))
    for name, value in zip(("a", "b"), tenants, strict=True):
        conn.execute("select jobsdb_proof.keep(%s, %s)", (name, value))
    return [_try(conn, check) for check in load_proofs()]


def _try(conn: Connection, check: Check) -> Result:
    """One file, from the state after the helpers; what it did is taken back."""
    import psycopg

    result = Result(check)
    conn.execute("savepoint proof")
    try:
        for verdict, assertion, expected, got in _send(conn, check.sql):
            if verdict is None:
                result.unreadable = result.unreadable or f"{assertion}: {got}"
            elif verdict:
                result.passed += 1
            else:
                result.findings.append(Finding(assertion, expected, got, None))
    except psycopg.Error as exc:
        if errors.is_retriable(exc):
            raise
        said = errors.first_line(str(exc))
        result.findings.append(Finding("the file itself", "an answer", said, None))
    conn.execute("rollback to savepoint proof")
    return result


def _send(conn: Connection, text: str) -> list[tuple[bool | None, str, str | None, str | None]]:
    """Statements in one round trip; the rows of those that return assertions."""
    rows: list[tuple[bool | None, str, str | None, str | None]] = []
    cursor = conn.execute(text.encode())
    while True:
        if cursor.description and cursor.description[0].name == "verdict":
            rows += cursor.fetchall()
        if not cursor.nextset():
            return rows


def _answer(conn: Connection, query: str, *values: object) -> object:
    row = conn.execute(query.encode(), values or None).fetchone()
    return row and row[0]
