"""For developers: writes sql/verify/expected.txt, what `verify` expects to find.

    python -m jobsdb.golden [URL]

Run it after every change of sql/ and read the difference as part of the change: it is what the
change does to the catalog. It deploys to a database of its own on the server (the embedded one by
default), takes the snapshot and drops the database. The file is the same from PostgreSQL 15 to 18.
"""

from __future__ import annotations

import sys

from jobsdb.connect import choose, connect
from jobsdb.migrate import migrate
from jobsdb.sqlfiles import sql_root
from jobsdb.verify import Facts, snapshot

NAME = "jobsdb_golden"

_HEAD = "# What verify expects: check, object, definition. Made by: python -m jobsdb.golden\n"


def write(url: str | None) -> None:
    """Deploy to a fresh database of the server and write the expectations down."""
    from psycopg.conninfo import make_conninfo

    target = choose(url, "flag")
    with connect(target) as server:
        server.execute(f"drop database if exists {NAME}".encode())
        server.execute(f"create database {NAME} template template0".encode())
        try:
            address = make_conninfo(target.conninfo, dbname=NAME)
            migrate(address, checks=False)
            with connect(address) as conn:
                text = as_text(snapshot(conn))
        finally:
            server.execute(f"drop database {NAME} with (force)".encode())
    path = sql_root() / "verify" / "expected.txt"
    path.write_bytes(text.encode())


def as_text(facts: Facts) -> str:
    """The facts as lines, sorted, one fact a line."""
    lines = sorted("\t".join((number, *fact)) for number in facts for fact in facts[number])
    return _HEAD + "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else None)
