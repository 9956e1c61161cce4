"""What tests say: as whom a statement runs, and which refusal it gets."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus

from jobsdb.local import Server

SQL = Path(__file__).parent.parent / "sql"
SOAK = os.environ.get("JOBSDB_SOAK") == "1"
BINDIR = Path(os.environ["JOBSDB_TEST_BINDIR"]) if "JOBSDB_TEST_BINDIR" in os.environ else None

_numbers = itertools.count(1)


@contextmanager
def as_role(conn: psycopg.Connection, role: str, claims: dict[str, Any]) -> Iterator[None]:
    """Run statements as PostgREST does: one transaction, then search_path, role and claims.

    Inside a transaction that is open already, the former values come back afterwards.
    """
    values = {"search_path": "public", "role": role, "request.jwt.claims": json.dumps(claims)}
    read = "select coalesce(current_setting(%s, true), '')"
    nested = conn.info.transaction_status == TransactionStatus.INTRANS
    with conn.transaction():
        before = {name: conn.execute(read, [name]).fetchone()[0] for name in values if nested}
        for name, value in values.items():
            conn.execute("select set_config(%s, %s, true)", [name, value])
        yield
        for name, value in before.items():
            conn.execute("select set_config(%s, %s, true)", [name, value])


def as_tenant(conn: psycopg.Connection, sub: UUID | str, **claims: Any):
    """As a signed-in user: role ``authenticated`` and a JWT with this ``sub``."""
    return as_role(conn, "authenticated", {"sub": str(sub), "role": "authenticated", **claims})


def as_service(conn: psycopg.Connection, **claims: Any):
    """As a back end or an agent: role ``service_role``, whose JWT has no ``sub``."""
    return as_role(conn, "service_role", {"role": "service_role", **claims})


def as_anon(conn: psycopg.Connection, **claims: Any):
    """As somebody who has not signed in."""
    return as_role(conn, "anon", {"role": "anon", **claims})


@contextmanager
def refused(
    conn: psycopg.Connection, sqlstate: str, text: str | None = None
) -> Iterator[pytest.ExceptionInfo[psycopg.Error]]:
    """Expect the block to be refused with this SQLSTATE, its message containing ``text``.

    The connection can be used afterwards: the block runs behind a savepoint. A refusal of our own
    (class JB) must also have a detail and a hint. What was raised is in the yielded ``.value``.
    """
    __tracebackhide__ = True
    with pytest.raises(psycopg.Error) as info, conn.transaction():
        yield info
    error = info.value
    told = f"{error.sqlstate}: {error}"
    assert error.sqlstate == sqlstate, f"expected {sqlstate}, got {told}"
    assert (text or "") in (error.diag.message_primary or ""), f"expected {text!r}, got {told}"
    if sqlstate.startswith("JB"):
        assert error.diag.message_detail, f"refused without a detail: {told}"
        assert error.diag.message_hint, f"refused without a hint: {told}"


@contextmanager
def new_database(server: Server, template: str = "template0") -> Iterator[str]:
    """Create a database, yield its URL, drop it."""
    name = f"test_{next(_numbers)}"
    create = sql.SQL("create database {} template {} strategy file_copy")
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield server.url(name)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
