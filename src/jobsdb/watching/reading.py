"""What `watch` and `report` ask: files of sql/ with parameters $1, $2 ..., read in one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from jobsdb import connect, errors, sqlfiles

if TYPE_CHECKING:
    from jobsdb.connect import Connection

Row = dict[str, Any]

_AS_OF_NOW = "set transaction isolation level repeatable read; set local jit = off"
_IS_THERE = "select to_regclass('public.recent_job_activity') is not null"
_text = cache(sqlfiles.read_text)


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """A read-only transaction in which all answers are of the same moment."""
    with connect.asking(conn):
        conn.execute(_AS_OF_NOW)
        yield


def ask(conn: Connection, path: str, *values: object) -> list[Row]:
    """The rows a file below sql/ answers, by the names of its columns. Errors: psycopg.Error."""
    from psycopg import RawCursor
    from psycopg.rows import dict_row

    cursor = RawCursor(conn, row_factory=dict_row)
    return cursor.execute(_text(path).encode(), values).fetchall()


def check(conn: Connection) -> None:
    """Errors: Refused where there is no jobsdb the caller can see."""
    if conn.execute(_IS_THERE).fetchone() != (True,):
        raise errors.Refused("jobsdb is not installed here", hint="Run `jobsdb migrate`.")


def find(conn: Connection, job: str) -> Row:
    """The job with this id or name; of several with the same name the only one that is open.

    Errors: UsageError when there is none, or more than one.
    """
    found = ask(conn, "watch/find.sql", job)
    if not found:
        raise errors.UsageError(
            f'there is no job "{job}", or it is not yours',
            hint="Name one by its id or its whole name.",
        )
    still_open = [row for row in found if row["is_open"]]
    if len(found) > 1 and len(still_open) != 1:
        ids = "".join(f"\n      {row['id']}  {row['status']}" for row in found)
        raise errors.UsageError(
            f'{len(found)} jobs are called "{job}"', hint=f"Name one by its id:{ids}"
        )
    return found[0]
