"""Two subjects in turn, the ratio of each pair, and a server to run them on."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from jobsdb import local
from jobsdb.deploy.migrate import migrate

TENANT = "aaaaaaaa-0000-0000-0000-000000000001"
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}
QUIET = {
    **SETTINGS,
    "autovacuum": "off",
    "full_page_writes": "off",  # which pages were touched first says nothing
}
"""Settings under which bytes and buffers repeat."""
HEAD = (
    "| what | unit | median | min to max | bar | within |\n| --- | --- | --- | --- | --- | --- |\n"
)


@dataclass(frozen=True)
class Figure:
    """One ratio: what was measured, the bar it must not pass, and each pair as it was seen."""

    what: str
    unit: str
    """seconds (only the ratio counts), buffers, bytes, flushes or instructions"""
    bar: float
    """0: nothing is promised"""
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

    @property
    def within(self) -> bool:
        """Whether the promise is kept."""
        return not self.bar or self.ratio <= self.bar

    def row(self) -> str:
        """The figure as a row of the table in docs/performance/."""
        seen = f"{self.ratio:.2f} | {min(self.ratios):.2f} to {max(self.ratios):.2f}"
        promise = f"{self.bar} | {'yes' if self.within else '**no**'}" if self.bar else "|"
        return f"| {self.what} | {self.unit} | {seen} | {promise} |"

    def line(self) -> str:
        """The figure as a line of a .jsonl file there."""
        return json.dumps(asdict(self), ensure_ascii=False)


def table(figures: Iterable[Figure]) -> str:
    """The figures as the table in docs/performance/."""
    return HEAD + "".join(f"{figure.row()}\n" for figure in figures)


def log(figures: Iterable[Figure]) -> str:
    """The figures as a .jsonl file there."""
    return "".join(f"{figure.line()}\n" for figure in figures)


def in_turns(
    whats: Sequence[tuple[str, str]],
    bar: float,
    subject: Callable[[], Sequence[float]],
    reference: Callable[[], Sequence[float]],
    pairs: int = 5,
) -> list[Figure]:
    """Run both once to warm up, then `pairs` times, changing which of them goes first.

    A run measures as many things as `whats` has names and units.
    """
    subject(), reference()
    seen: dict[Callable[[], Sequence[float]], list[Sequence[float]]] = {subject: [], reference: []}
    for number in range(pairs):
        for run in (subject, reference) if number % 2 else (reference, subject):
            seen[run].append(run())
    columns = zip(
        whats, zip(*seen[subject], strict=True), zip(*seen[reference], strict=True), strict=True
    )
    return [Figure(what, unit, bar, [*ours], [*theirs]) for (what, unit), ours, theirs in columns]


def in_turn(
    what: str,
    bar: float,
    subject: Callable[[], float],
    reference: Callable[[], float],
    pairs: int = 5,
    unit: str = "seconds",
) -> Figure:
    """The same for one thing that is measured."""
    (figure,) = in_turns([(what, unit)], bar, lambda: (subject(),), lambda: (reference(),), pairs)
    return figure


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@contextmanager
def as_tenant(conn: psycopg.Connection, tenant: str = TENANT) -> Iterator[None]:
    """A transaction as PostgREST opens it for a signed-in user; committed at the end."""
    with conn.transaction():
        conn.execute("select set_config('role', 'authenticated', true)")
        conn.execute(f"""select set_config('request.jwt.claims', '{{"sub": "{tenant}"}}', true)""")
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


def touched(conn: psycopg.Connection, action: Callable[[], object]) -> float:
    """Buffers an action on this connection touches, commits included, where nobody else works."""
    count = (
        "select sum(blks_hit + blks_read) from pg_stat_database where datname = current_database()"
    )
    conn.execute("select pg_stat_force_next_flush()")
    (before,) = conn.execute(count).fetchone() or (0,)
    action()
    conn.execute("select pg_stat_force_next_flush()")
    (after,) = conn.execute(count).fetchone() or (0,)
    return float(after - before)


@dataclass(frozen=True)
class Scratch:
    """A server that is gone afterwards."""

    server: local.Server
    folder: Path

    def new(self, name: str = "bench", template: str = "template0") -> str:
        """The URL of a new database in place of one of the same name."""
        strategy = "wal_log" if template == "template0" else "file_copy"  # the smaller, the larger
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            admin.execute(f"drop database if exists {name} with (force)")
            admin.execute(f"create database {name} template {template} strategy {strategy}")
        return str(self.server.url(name))

    def installed(self, name: str = "bench") -> str:
        """The same, and jobsdb is installed."""
        url = self.new(name)
        migrate(url)
        return url

    def stop(self) -> None:
        """Leave only its folder."""
        local.stop(self.server.name, self.folder)


@contextmanager
def scratch_server(name: str, settings: Mapping[str, str]) -> Iterator[Scratch]:
    """Start a server in a folder of its own; both are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        scratch = Scratch(local.start(name, settings, data_root=Path(folder)), Path(folder))
        try:
            yield scratch
        finally:
            scratch.stop()
