"""Which database, and the connection to it.

The choice: -d, then JOBSDB_DATABASE_URL, then DATABASE_URL, then libpq's own variables (PGHOST,
PGSERVICE, ...), then the embedded PostgreSQL. `seed` leaves out DATABASE_URL, `demo` everything but
-d: what loads sample data must not follow an application's settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from jobsdb import __version__, errors, render

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

Rule = Literal["any", "own", "flag"]

OLDEST_SERVER = 150000
CONNECT_TIMEOUT_S = 10

_VARIABLES: dict[Rule, tuple[str, ...]] = {
    "any": ("JOBSDB_DATABASE_URL", "DATABASE_URL"),
    "own": ("JOBSDB_DATABASE_URL",),
    "flag": (),
}
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGDATABASE")
_ASK = "begin isolation level read committed read only; set local statement_timeout = 0;"
_FORMS = "Write postgresql://USER@HOST:PORT/DATABASE or host=HOST dbname=DATABASE user=USER."


@dataclass(frozen=True)
class Target:
    """A chosen database. The address may hold a password, so it is never shown."""

    conninfo: str = field(repr=False)
    source: str
    """-d, the name of a variable, libpq or embedded."""


def choose(
    database: str | None,
    rule: Rule = "any",
    environ: Mapping[str, str] | None = None,
) -> Target:
    """Choose the database; starts the embedded PostgreSQL when nothing names another.

    Errors: UsageError when the address cannot be read.
    """
    env = os.environ if environ is None else environ
    if database is not None:
        target = Target(database, "-d")
        if _parse(target).get("password"):
            render.warn(
                "a password on the command line can be seen by everybody on this machine;"
                " use ~/.pgpass, PGPASSWORD or JOBSDB_DATABASE_URL"
            )
        return target
    for name in _VARIABLES[rule]:
        if env.get(name):
            target = Target(env[name], name)
            _parse(target)
            return target
    if rule != "flag" and any(env.get(name) for name in _LIBPQ):
        return Target("", "libpq")
    return Target(_embedded(), "embedded")


def _embedded() -> str:
    """Address of the embedded PostgreSQL, started if need be."""
    from jobsdb import local

    try:
        return local.start().url()
    except local.LocalServerError as exc:
        raise errors.ConnectError(exc.message, hint=exc.hint) from exc


def connect(target: Target | str) -> Connection:
    """Open a connection in autocommit mode that is safe behind a transaction pooler.

    Errors: ConnectError when there is none to be had, Refused below PostgreSQL 15.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    if isinstance(target, str):
        target = Target(target, "-d")
    options: dict[str, Any] = _parse(target)
    if "connect_timeout" not in options and "PGCONNECT_TIMEOUT" not in os.environ:
        options["connect_timeout"] = CONNECT_TIMEOUT_S
    options["application_name"] = f"jobsdb/{__version__}"
    options["client_encoding"] = "UTF8"
    try:
        conn = psycopg.connect(make_conninfo(**options), autocommit=True, prepare_threshold=None)
    except psycopg.OperationalError as exc:
        raise errors.connect_failed(exc) from None
    if conn.info.server_version < OLDEST_SERVER:
        version = server_version(conn)
        conn.close()
        raise errors.Refused(
            f"PostgreSQL {version} is too old for jobsdb",
            hint="jobsdb needs PostgreSQL 15 or newer.",
        )
    return conn


def open_database(database: str | None, rule: Rule = "any") -> Connection:
    """Choose, connect, and say where on the first line of stderr."""
    target = choose(database, rule)
    conn = connect(target)
    render.say(f"connected to {banner(conn, target)}")
    return conn


def banner(conn: Connection, target: Target) -> str:
    """What the first line of every command says of its connection."""
    embedded = ", embedded" if target.source == "embedded" else ""
    return f"{where(conn)} (PostgreSQL {server_version(conn)}{embedded})"


def where(conn: Connection) -> str:
    """`user@host:port/database` of a connection, as the server and libpq see it."""
    info = conn.info
    return f"{info.user}@{info.host or 'localhost'}:{info.port}/{info.dbname}"


def server_version(conn: Connection) -> str:
    """The server's version as people write it, such as `15.18`."""
    return (conn.info.parameter_status("server_version") or "?").split()[0]


def ask(conn: Connection, query: str, role: str | None = None) -> list[tuple[Any, ...]]:
    """Rows of one query in a read-only transaction, whatever limits the server sets by default."""
    import psycopg

    try:
        cursor = conn.execute(f"{_ASK}{become(role)} {query}; rollback".encode())
    except psycopg.Error:
        if not conn.closed:
            conn.execute("rollback")
        raise
    while cursor.description is None and cursor.nextset():
        pass
    return cursor.fetchall()


@contextmanager
def asking(conn: Connection, role: str | None = None) -> Iterator[None]:
    """A read-only transaction for several questions, whatever limits the server sets by default."""
    cursor = conn.execute(f"{_ASK}{become(role)}".encode())
    while cursor.nextset():
        pass
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("rollback")


def become(role: str | None) -> str:
    """The statement, for after a begin, that goes on as another role; nothing without one."""
    return f"; set local role {quoted(role)};" if role else ";"


def quoted(name: str) -> str:
    """A name as SQL reads it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def identity(conn: Connection) -> dict[str, Any]:
    """The database of a connection, for a JSON document."""
    info = conn.info
    return {
        "user": info.user,
        "host": info.host,
        "port": info.port,
        "name": info.dbname,
        "server": server_version(conn),
    }


def behind_pooler(conn: Connection) -> bool:
    """Whether a pooler stands between: what is set for the session may reach another client."""
    return ask(conn, "select pg_catalog.pg_backend_pid()") != [(conn.info.backend_pid,)]


def _parse(target: Target) -> dict[str, Any]:
    """The address as libpq's options. Never repeats the address: what libpq quotes from a malformed
    one may be a piece of the password."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    text = target.conninfo.strip()
    trouble = _trouble(text) if text or target.source != "libpq" else None
    if trouble is None:
        try:
            options = conninfo_to_dict(text)
            # `postgresql://USER:PASSWORD` without a host reads as host and port.
            trouble = None if _are_ports(str(options.get("port", ""))) else _FORMS
        except psycopg.Error:
            trouble = _unknown_parameters(text) or _FORMS
    if trouble is not None:
        name = "given with -d" if target.source == "-d" else f"in {target.source}"
        raise errors.UsageError(f"the database address {name} cannot be read", hint=trouble)
    names = tuple(str(options.get(k)) for k in ("user", "dbname", "host"))
    for secret in (options.get("password"), os.environ.get("PGPASSWORD")):
        errors.remember_secret(None if secret is None else str(secret), unless=names)
    return options


def _are_ports(text: str) -> bool:
    """Whether this can be libpq's port option: numbers, one for each host."""
    return all(port == "" or (port.isdigit() and int(port) < 65536) for port in text.split(","))


def _trouble(text: str) -> str | None:
    """What is wrong with an address, as a hint, as far as it can be said without quoting it."""
    scheme, found, rest = text.partition("://")
    if not found:
        return None if "=" in text else _FORMS
    if "+" in scheme:
        return "Remove the driver: write postgresql:// instead of postgresql+driver://."
    if scheme not in ("postgres", "postgresql"):
        return _FORMS
    before_query = rest.partition("?")[0]
    before_path = before_query.partition("/")[0]
    if before_query.count("@") > 1 or before_query.count("@") != before_path.count("@"):
        return "In a URL special characters of the password are escaped: @ is %40, / is %2F."
    return None


def _unknown_parameters(text: str) -> str | None:
    """Names of URL parameters that belong to other drivers (`?pgbouncer=true`), as a hint."""
    from urllib.parse import parse_qsl, urlsplit

    from psycopg.pq import Conninfo

    try:
        given = [name for name, _ in parse_qsl(urlsplit(text).query, keep_blank_values=True)]
    except ValueError:
        return None
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    unknown = [name for name in given if name not in known and name.isidentifier()]
    return f"Remove what PostgreSQL does not know: {', '.join(unknown)}." if unknown else None
