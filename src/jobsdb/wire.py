"""Sends SQL files to the server, and says at which line of which file it failed.

A file is one simple query without parameters; several files travel together, because each round
trip lengthens the time locks are held. The server parses such a text as a whole and then runs
statement after statement, so the number of results before an error tells which one failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jobsdb.sqlfiles import SqlFile

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

    from jobsdb.connect import Connection

BETWEEN = "\n;\n"
"""Between two files: ends a comment and a statement that the first may have left open."""

_TOKEN = re.compile(
    r"""
      --[^\n]* | /\*.*?\*/                                   # comments
    | (?P<word> [eE]'(?:[^'\\]|\\.|'')*'                     # strings with escapes
              | '(?:[^']|'')*'                               # strings
              | "(?:[^"]|"")*"                               # quoted names
              | \$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$  # dollar quotes
              | [A-Za-z_][\w$]* )                            # names, so that no tag hides in one
    | (?P<sign> [^\s] )
    """,
    re.DOTALL | re.VERBOSE,
)


class FileError(Exception):
    """The server refused something in a file: its error, and the place as `sql/path:line`."""

    def __init__(self, cause: psycopg.Error, at: str) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.at = at


def send(conn: Connection, files: Sequence[SqlFile]) -> list[PGresult]:
    """Run files in order, in one round trip; the results of all statements. Errors: FileError."""
    from psycopg import generators
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus

    text = BETWEEN.join(file.text for file in files)
    conn.pgconn.send_query(text.encode())
    results: list[PGresult] = conn.wait(generators.execute(conn.pgconn))
    last = results[-1]
    if last.status == ExecStatus.FATAL_ERROR:
        error = error_from_result(last)
        position = error.diag.statement_position
        offset = _offset(text, int(position) if position else None, len(results) - 1)
        raise FileError(error, place(files, offset))
    return results


def execute(conn: Connection, statements: str) -> None:
    """Run statements in one round trip, whatever they return. Errors: psycopg.Error."""
    cursor = conn.execute(statements.encode())
    while cursor.nextset():
        pass


def place(files: Sequence[SqlFile], offset: int) -> str:
    """`sql/path:line` of a character of the joined files."""
    for file in files:
        if offset <= len(file.text):
            break
        offset -= len(file.text) + len(BETWEEN)
    return f"sql/{file.path}:{file.text.count(chr(10), 0, max(offset, 0)) + 1}"


def statement_starts(text: str) -> Iterator[int]:
    """Where each statement begins: the offset of its first character that is not a comment."""
    start: int | None = None
    parentheses = atomic = 0
    previous = ""
    for token in _TOKEN.finditer(text):
        word = (token["word"] or token["sign"] or "").lower()
        if not word:
            continue
        if word == ";" and not parentheses and not atomic:
            start = None
            continue
        if start is None and word != ";":
            start = token.start()
            parentheses = atomic = 0
            yield start
        if word == "atomic" and previous == "begin":
            atomic = 1  # the body of an SQL-standard function: its semicolons are inside
        elif atomic and word in ("case", "end"):
            atomic += 1 if word == "case" else -1
        elif word in ("(", ")"):
            parentheses += 1 if word == "(" else -1
        previous = word


def _offset(text: str, position: int | None, completed: int) -> int:
    """Offset of an error, from the server's 1-based position or the statements that worked."""
    if position is not None:
        return position - 1
    for number, start in enumerate(statement_starts(text)):
        if number == completed:
            return start
    return 0
