"""`jobsdb migrate` beside other migrators with the same SQL: `python -m benchmarks.migrators`.

The SQL are the five files of `jobsdb bundle`, for the others as revisions of raw SQL. Every subject
starts as a process of its own, in turn with `jobsdb migrate`; a figure is the ratio of two times of
the same repetition. What cannot be had is left out and said.
Writes docs/performance/migrators.md and migrators.jsonl.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from tests.door import door

from benchmarks.__main__ import OUT
from benchmarks.harness import (
    SETTINGS,
    Figure,
    Scratch,
    in_turn,
    log,
    scratch_server,
    seconds,
    table,
)
from benchmarks.subjects import fetched
from jobsdb.deploy import bundle
from jobsdb.deploy.migrate import migrate
from jobsdb.local import Server

PAIRS = 9
YOYO, ALEMBIC = "yoyo-migrations==9.0.0", "alembic==1.20.1"
SUPABASE = "supabase@3.1.0"
INTRO = """# `jobsdb migrate` beside other migrators

Written by `python -m benchmarks.migrators`: ratios of two processes that took turns in one run on
one machine (median of the pairs, minimum to maximum), all with the same five files of SQL. Times on
shared machines mean nothing. Every pair: [migrators.jsonl](migrators.jsonl).

"""
READS = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as conn:
    conn.execute("select file, sha256 from jobsdb.ledger").fetchall()
"""
"""The least a process can do to know what a database has."""
ALEMBIC_ENV = """
import os
import psycopg
from alembic import context
from sqlalchemy import create_engine
url = os.environ["URL"]
engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
with engine.connect() as conn:
    context.configure(connection=conn)
    with context.begin_transaction():
        context.run_migrations()
"""
ALEMBIC_REVISION = """
from pathlib import Path
from alembic import op
revision, down_revision = {name!r}, {before!r}
def upgrade():
    op.get_bind().connection.cursor().execute(Path({path!r}).read_text())
"""
YOYO_STEP = """
from pathlib import Path
from yoyo import step
step(lambda conn: conn.cursor().execute(Path({path!r}).read_text()))
"""
Command = Callable[[str], Sequence[str | Path]]


@dataclass(frozen=True)
class Peer:
    """Another migrator: the process that brings the database of a URL up to date."""

    name: str
    command: Command
    folder: Path
    promised: bool = True

    def run(self, url: str) -> float:
        """Seconds it takes; it must succeed."""
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": paths, "URL": url, "HOME": str(self.folder)}
        return seconds(
            lambda: subprocess.run(
                self.command(url), cwd=self.folder, env=environment, check=True,
                capture_output=True, stdin=subprocess.DEVNULL,
            )
        )  # fmt: skip


def yoyo(folder: Path, files: Sequence[Path]) -> Peer:
    """Each file as a step of Python: its splitter of SQL would only cost time."""
    steps = folder / "yoyo"
    steps.mkdir()
    for file in files:
        (steps / f"{file.stem}.py").write_text(YOYO_STEP.format(path=str(file)))
    start = "from yoyo.scripts.main import main; main()"
    return Peer(
        "yoyo",
        lambda url: (
            sys.executable, "-c", start, "apply", "--batch", "--no-config-file",
            "--database", url.replace("postgresql:", "postgresql+psycopg:"), steps,
        ),
        folder,
    )  # fmt: skip


def alembic(folder: Path, files: Sequence[Path]) -> Peer:
    """Each file as a revision of raw SQL."""
    versions = folder / "alembic" / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "env.py").write_text(ALEMBIC_ENV)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    before = None
    for file in files:
        name = file.stem.partition("_")[0]  # longer ones do not go into its ledger
        text = ALEMBIC_REVISION.format(name=name, before=before, path=str(file))
        (versions / f"{file.stem}.py").write_text(text)
        before = name
    start = "from alembic.config import main; main()"
    return Peer("alembic", lambda url: (sys.executable, "-c", start, "upgrade", "head"), folder)


def supabase(folder: Path, files: Sequence[Path], program: Path, port: int) -> Peer:
    """`supabase db push`, as far as it goes without Docker: all the way."""
    project = folder / "supabase"
    (project / "migrations").mkdir(parents=True)
    (project / "config.toml").write_text('project_id = "bench"\n')
    for file in files:
        (project / "migrations" / file.name).write_text(file.read_text())

    def by_port(url: str) -> str:
        name = conninfo_to_dict(url)["dbname"]
        return f"postgresql://postgres:x@127.0.0.1:{port}/{name}?sslmode=disable"

    return Peer(
        "supabase db push",
        lambda url: (program, "db", "push", "--yes", "--db-url", by_port(url)),
        folder,
        promised=False,  # it starts a runtime of another language: no peer of ours in this
    )


def peers(packages: Path, folder: Path, files: Sequence[Path], server: Server) -> Iterator[Peer]:
    """Fetch the others into `packages`; one that cannot be had is said so and left out."""
    if fetched(packages, YOYO):
        yield yoyo(folder, files)
    if fetched(packages, ALEMBIC):
        yield alembic(folder, files)
    if fetched(packages, SUPABASE):
        program = packages / "node_modules" / ".bin" / "supabase"
        with door(server.socket_dir, server.port) as port:
            yield supabase(folder, files, program, port)


def figures(scratch: Scratch, packages: Path, folder: Path) -> Iterator[Figure]:
    """Fresh installation and nothing to do, beside each of them, and beside a bare script."""
    program = Path(sys.executable).with_name("jobsdb")
    ours = Peer("jobsdb", lambda url: (program, "migrate", "-d", url), folder)
    bare = Peer("bare", lambda url: (sys.executable, "-c", READS, url), folder)
    files = [path for path, _ in bundle.write(folder / "files")]
    done = scratch.new("ours")
    migrate(done)
    yield in_turn(
        "`jobsdb migrate`, nothing to do ÷ a bare psycopg script that reads the ledger",
        2,
        lambda: ours.run(done),
        lambda: bare.run(done),
        PAIRS,
    )
    for peer in peers(packages, folder, files, scratch.server):
        bar = 1 if peer.promised else 0
        theirs = scratch.new("theirs")
        try:
            peer.run(theirs)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout).decode().strip().splitlines()
            print(f"left out: {peer.name}: {said[-1] if said else error}", file=sys.stderr)
            continue
        yield in_turn(
            f"`jobsdb migrate`, fresh database ÷ {peer.name}",
            bar,
            lambda: ours.run(scratch.new("fresh")),
            lambda peer=peer: peer.run(scratch.new("fresh")),  # type: ignore[misc]
            PAIRS,
        )
        yield in_turn(
            f"`jobsdb migrate`, nothing to do ÷ {peer.name}",
            bar,
            lambda: ours.run(done),
            lambda peer=peer, theirs=theirs: peer.run(theirs),  # type: ignore[misc]
            PAIRS,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when a bar was passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=Path, help="a folder that keeps what was fetched")
    chosen = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scratch = stack.enter_context(scratch_server("bench-migrators", SETTINGS))
        seen: list[Figure] = []
        for figure in figures(scratch, chosen.peers or folder, folder):
            print(figure.row(), flush=True)
            seen.append(figure)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "migrators.md").write_text(INTRO + table(seen))
    (OUT / "migrators.jsonl").write_text(log(seen))
    return int(not all(figure.within for figure in seen))


if __name__ == "__main__":
    sys.exit(main())
