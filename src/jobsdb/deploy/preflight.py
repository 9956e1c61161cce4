"""What can be said before anything is touched: that it will not work, and what to run instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsdb import errors
from jobsdb.connect import Target, ask, asking, banner, quoted
from jobsdb.errors import Exit, JobsdbError
from jobsdb.sqlfiles import migrate_text

if TYPE_CHECKING:
    from jobsdb.connect import Connection

_WHERE = "select pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid()"
_MAY_BECOME = (
    "select pg_catalog.pg_has_role(session_user, r.oid, %s) from pg_catalog.pg_roles as r"
    " where r.rolname = %s"
)


def connected(conn: Connection, target: Target, role: str | None) -> str:
    """Where this is connected to, as the first line says it.

    Errors: Refused on a read replica, ConnectError when the role cannot be taken.
    """
    ((replica, pid),) = ask(conn, _WHERE)
    if replica:
        raise errors.Refused(
            "this server is a read replica",
            hint="Deploy to the primary server; the replica follows by itself.",
        )
    if role is not None:
        _refuse_role(conn, role)
    said = banner(conn, target)
    if pid != conn.info.backend_pid:
        said += ", through a connection pooler"
    return f"{said}, as role {role}" if role else said


def problems(conn: Connection) -> list[JobsdbError]:
    """What the current role lacks for deploying here; asked in the transaction that is open."""
    rows = conn.execute(migrate_text("preflight.sql").encode()).fetchall()
    return [
        JobsdbError(
            sentence,
            code=Exit.REFUSED if state in errors.INSTALLATION else Exit.CONNECT,
            detail=detail,
            hint=f"Have an administrator run: {fix}",
            sqlstate=state,
        )
        for state, sentence, detail, fix in rows
    ]


def _refuse_role(conn: Connection, role: str) -> None:
    """Errors: ConnectError when the role does not exist, or is not for this user."""
    member = "SET" if conn.info.server_version >= 160000 else "MEMBER"
    user = conn.info.user
    with asking(conn):
        row = conn.execute(_MAY_BECOME, (member, role)).fetchone()
    if row is None:
        raise errors.ConnectError(
            f'there is no role "{role}" on this server', hint="Check the name given with --role."
        )
    if not row[0]:
        raise errors.ConnectError(
            f'{user} may not act as role "{role}"',
            detail="it is not a member of that role",
            hint=f"Have an administrator run: {_grant(role, user, conn.info.server_version)}",
        )


def _grant(role: str, user: str, server_version: int) -> str:
    options = " with set true" if server_version >= 160000 else ""
    return f"grant {quoted(role)} to {quoted(user)}{options};"
