"""Two subjects in turn, and the ratio of each pair."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psycopg

TENANT = "aaaaaaaa-0000-0000-0000-000000000001"


@dataclass(frozen=True)
class Figure:
    """One ratio: what was measured, the bar it must not pass, and each pair as it was seen."""

    what: str
    unit: str
    """seconds (only the ratio counts), buffers, bytes, flushes or instructions"""
    bar: float
    subject: list[float]
    reference: list[float]

    @property
    def ratios(self) -> list[float]:
        """Subject by reference, pair by pair."""
        return [a / b for a, b in zip(self.subject, self.reference, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the pairs."""
        return statistics.median(self.ratios)

    def row(self) -> str:
        """The figure as a row of the table in docs/performance/."""
        seen = f"{self.ratio:.2f} | {min(self.ratios):.2f} to {max(self.ratios):.2f}"
        verdict = "yes" if self.ratio <= self.bar else "**no**"
        return f"| {self.what} | {self.unit} | {seen} | {self.bar} | {verdict} |"

    def line(self) -> str:
        """The figure as a line of a .jsonl file there."""
        return json.dumps(asdict(self), ensure_ascii=False)


def in_turn(
    what: str,
    bar: float,
    subject: Callable[[], float],
    reference: Callable[[], float],
    pairs: int = 5,
    unit: str = "seconds",
) -> Figure:
    """Run both once to warm up, then `pairs` times, changing which of them goes first."""
    subject(), reference()
    seen: dict[Callable[[], float], list[float]] = {subject: [], reference: []}
    for number in range(pairs):
        for run in (subject, reference) if number % 2 else (reference, subject):
            seen[run].append(run())
    return Figure(what, unit, bar, seen[subject], seen[reference])


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@contextmanager
def as_tenant(conn: psycopg.Connection) -> Iterator[None]:
    """A transaction as PostgREST opens it for a signed-in user; committed at the end."""
    with conn.transaction():
        conn.execute("select set_config('role', 'authenticated', true)")
        conn.execute(f"""select set_config('request.jwt.claims', '{{"sub": "{TENANT}"}}', true)""")
        yield


def buffers(conn: psycopg.Connection, statement: str) -> float:
    """Buffers a statement touches, those of its functions and triggers included."""
    (((plan,),),) = (
        conn.execute(f"explain (analyze, buffers, format json) {statement}").fetchall(),
    )
    top = plan[0]["Plan"]
    return float(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def wal(conn: psycopg.Connection, action: Callable[[], object]) -> float:
    """Bytes of write-ahead log that an action writes, on a server where nobody else writes."""
    position = "select pg_current_wal_insert_lsn() - '0/0'"
    (before,) = conn.execute(position).fetchone() or (0,)
    action()
    (after,) = conn.execute(position).fetchone() or (0,)
    return float(after - before)
