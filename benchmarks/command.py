"""What the command promises: how long it takes beside what it stands on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Figure, in_turn, seconds

PAIRS = 9


def run(*argv: str | Path) -> float:
    """Seconds a process takes; it must succeed."""
    return seconds(lambda: subprocess.run(argv, check=True, capture_output=True))


def figures(new_database: Callable[[], str]) -> Iterator[Figure]:
    """`new_database` creates an empty database and gives its URL."""
    jobsdb = Path(sys.executable).with_name("jobsdb")
    yield in_turn(
        "`jobsdb --help` ÷ `python -c 'import click'`",
        2,
        lambda: run(jobsdb, "--help"),
        lambda: run(sys.executable, "-c", "import click"),
        PAIRS,
    )
    if shutil.which("psql") is None:
        return

    with tempfile.TemporaryDirectory() as folder:
        run(jobsdb, "bundle", folder)
        files = sorted(Path(folder).iterdir())

        def by_psql() -> float:
            url = new_database()
            return run(sys.executable, "-c", "pass") + sum(
                run("psql", "-X", url, "-f", file) for file in files
            )

        yield in_turn(
            "`jobsdb migrate` ÷ `psql -f` of the bundle files + start of Python",
            1.5,
            lambda: run(jobsdb, "migrate", "-d", new_database()),
            by_psql,
            PAIRS,
        )

    fresh = new_database()
    run(jobsdb, "migrate", "-d", fresh)
    yield in_turn(
        "`jobsdb verify` ÷ `jobsdb migrate` on an empty database",
        1,
        lambda: run(jobsdb, "verify", "-d", fresh),
        lambda: run(jobsdb, "migrate", "-d", new_database()),
        PAIRS,
    )
