"""Time the command and the SQL on a server of their own, and write docs/performance/schema.md."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import psycopg

from benchmarks import command, schema
from benchmarks.harness import Figure
from jobsdb import local
from jobsdb.migrate import migrate

OUT = Path(__file__).parent.parent / "docs" / "performance"
SERVER = "bench"
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}
INTRO = """# The command and the schema

Written by `python -m benchmarks`: ratios of two subjects that took turns in one run on one machine
(median of the pairs, minimum to maximum), or counts of buffers. Times on shared machines mean
nothing. Every pair: [schema.jsonl](schema.jsonl).

| what | unit | median | min to max | bar | within |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> int:
    """Returns 1 when a bar was passed."""
    server = local.start(SERVER, SETTINGS)
    names = (f"bench_{number}" for number in itertools.count(1))
    admin = psycopg.connect(server.url(), autocommit=True)

    def new_database(template: str = "template0") -> str:
        name = next(names)
        admin.execute(f"drop database if exists {name} with (force)")
        admin.execute(f"create database {name} template {template}")
        return server.url(name)

    try:
        url = new_database()
        migrate(url)
        bare_url = new_database("bench_1")
        seen: list[Figure] = []
        for figure in itertools.chain(command.figures(new_database), schema.figures(url, bare_url)):
            print(figure.row(), flush=True)
            seen.append(figure)
        number = int(next(names).removeprefix("bench_"))
        for used in range(1, number):
            admin.execute(f"drop database if exists bench_{used} with (force)")
    finally:
        admin.close()
        local.stop(SERVER)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "schema.md").write_text(INTRO + "".join(f"{figure.row()}\n" for figure in seen))
    (OUT / "schema.jsonl").write_text("".join(f"{figure.line()}\n" for figure in seen))
    return int(any(figure.ratio > figure.bar for figure in seen))


if __name__ == "__main__":
    sys.exit(main())
