"""jobsdb beside the queues people would pick instead: `python -m benchmarks.queues`.

Each run starts from a fresh database with a full queue, or an empty one when adding is measured.
All subjects of a cell run in every repetition, in an order that rotates; a figure is the ratio of
two rates of the same repetition. A run counts only when the queue itself says afterwards that
exactly what the clients finished is finished. Writes queues.md, queues.jsonl and a plot per cell
into docs/performance/; cells that were not run keep their results.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import load
from benchmarks.__main__ import OUT
from benchmarks.harness import SETTINGS, Figure
from benchmarks.load import Cell
from benchmarks.subjects import BATCH, OURS, PEERS, Statements, Subject, fetched, peers
from jobsdb import local

SERVER = "bench-queues"
PLOTTER = "matplotlib==3.11.2"
SLOW = {"commit_delay": 2000, "commit_siblings": 0}
"""Every flush waits 2 ms first, as on a disk that takes its time."""

FUSED = ("jobsdb fused",)
BOTH = ("jobsdb", *FUSED)
ADDING = ("jobsdb", "jobsdb, a job a writer")
OLD = "jobsdb fused, 10,000,000 done before"
UNCOUNTED = "jobsdb fused, counters off"
NOTIFYING = ("procrastinate", "PgQueuer", "graphile-worker")
CELLS = {
    "single": Cell(
        "16 workers, one task a call",
        ("floor", *BOTH, *PEERS),
        FUSED,
        {
            "procrastinate": (1.2, 0),
            "PgQueuer": (1.2, 0),
            "graphile-worker": (0.8, 1.1),
            "pg-boss": (1, 1.3),
        },
    ),
    "batch": Cell(
        "16 workers, 100 tasks a call",
        ("floor", *BOTH, "PgQueuer", "graphile-worker", "pg-boss"),
        BOTH,
        {"PgQueuer": (1.2, 0), "graphile-worker": (0.5, 0.8), "pg-boss": (1.2, 0)},
        size=BATCH,
    ),
    "slow": Cell(
        "one worker, one task a call, every flush 2 ms late, a tenth of the queue",
        ("floor", *BOTH),
        FUSED,
        {"floor": (1.6, 0)},
        workers=1,
        slow=True,
        share=0.1,
    ),
    "hot": Cell(
        "16 workers, one task a call, all of one job, every flush 2 ms late",
        (UNCOUNTED, *FUSED),
        FUSED,
        {UNCOUNTED: (0.8, 0)},
        slow=True,
        reference=UNCOUNTED,
    ),
    "history": Cell(
        "16 workers, one task a call, behind 10,000,000 finished ones",
        (*FUSED, OLD),
        (OLD,),
        {"jobsdb fused": (0.9, 0)},
        reference="jobsdb fused",
    ),
    "add": Cell(
        "16 writers, one task a call",
        ("floor", *ADDING, *PEERS),
        ADDING,
        dict.fromkeys(NOTIFYING, (3, 0)),
        adds=True,
    ),
    "add100": Cell(
        "16 writers, 100 tasks a call",
        ("floor", *ADDING, *PEERS),
        ADDING,
        dict.fromkeys(NOTIFYING, (1.5, 0)),
        size=BATCH,
        adds=True,
    ),
    "addslow": Cell(
        "16 writers, one task a call, every flush 2 ms late",
        ("floor", *ADDING, *PEERS),
        ADDING,
        dict.fromkeys(NOTIFYING, (3, 0)),
        adds=True,
        slow=True,
        share=0.2,
    ),
    "addslow100": Cell(
        "16 writers, 100 tasks a call, every flush 2 ms late",
        ("floor", *ADDING, *PEERS),
        ADDING,
        dict.fromkeys(NOTIFYING, (1.5, 0)),
        size=BATCH,
        adds=True,
        slow=True,
    ),
}


@dataclass(frozen=True)
class Ratio(Figure):
    """A ratio of two rates, which must not fall below its bar; bar 0: nothing is promised."""

    cell: str
    reference_name: str
    stretch: float
    """The ratio that is hoped for; 0: none."""
    setting: str

    @property
    def within(self) -> bool:
        """Whether the promise is kept."""
        return self.ratio >= self.bar

    def row(self) -> str:
        """The figure as a row of docs/performance/queues.md."""
        seen = f"{self.ratio:.2f} | {min(self.ratios):.2f} to {max(self.ratios):.2f}"
        bar = f"{self.bar:g}" + (f" ({self.stretch:g})" if self.stretch else "")
        promise = f"{bar} | {'yes' if self.within else '**no**'}" if self.bar else "|"
        return f"| {self.what} ÷ {self.reference_name} | {seen} | {promise} |"


class Bench:
    """A server with one installed database per subject, copied for each run."""

    def __init__(self, server: local.Server, subjects: Sequence[Subject]) -> None:
        self.server = server
        self.admin = psycopg.connect(server.url(), autocommit=True)
        self.subjects = {subject.name: subject for subject in subjects}
        self.installed: dict[str, Statements] = {}

    def fresh(self, name: str, template: str) -> str:
        """The URL of a new database in place of one of the same name."""
        self.admin.execute(f'drop database if exists "{name}" with (force)'.encode())
        self.admin.execute(
            f'create database "{name}" template "{template}" strategy file_copy'.encode()
        )
        return self.server.url(name)

    def rate(self, subject: Subject, cell: Cell, tasks: int) -> float:
        """One run on a database of its own."""
        template = f"bench {subject.name}"
        if subject.name not in self.installed:
            self.installed[subject.name] = subject.install(self.fresh(template, "template0"))
        statements = self.installed[subject.name]
        url = self.fresh("bench run", template)
        filled = -(-(tasks + cell.warm_up) // BATCH) * BATCH
        with psycopg.connect(url, autocommit=True) as conn:
            for name, value in SLOW.items() if cell.slow else ():
                conn.execute(f'alter database "bench run" set {name} = {value}'.encode())
            if subject.fill and not cell.adds:
                conn.execute(subject.fill.encode(), (filled,))
            elif not cell.adds:
                filler = load.Client(url, "postgres", 1, {"fill": statements[f"add {BATCH}"]})
                for _ in range(0, filled, BATCH):
                    filler.send("fill", BATCH)
                filler.conn.close()
            conn.execute("vacuum analyze")
        verbs = ["add"] if cell.adds else ["claim", "finish", *["next"] * subject.fused]
        sent = {f"{verb} {cell.size}": statements[f"{verb} {cell.size}"] for verb in verbs}
        return load.rate(subject, cell, url, sent, filled, round(tasks * cell.share))

    def figures(self, name: str, tasks: int, repetitions: int) -> list[Ratio]:
        """All subjects of a cell in turn: each beside the reference, and where there is a bar."""
        cell = CELLS[name]
        there = [self.subjects[subject] for subject in cell.subjects if subject in self.subjects]
        rates: dict[str, list[float]] = {subject.name: [] for subject in there}
        for turn in range(repetitions):
            for place in range(len(there)):
                subject = there[(turn + place) % len(there)]
                rates[subject.name].append(self.rate(subject, cell, tasks))
                print(f"{name} {turn + 1}: {subject.name}: {rates[subject.name][-1]:,.0f} tasks/s")
        versions = (f"{subject.name} {subject.version}" for subject in there if subject.version)
        major, minor = divmod(self.admin.info.server_version, 10000)
        absent = (f"without {subject}" for subject in cell.subjects if subject not in rates)
        setting = ", ".join((f"{tasks:,} tasks", f"PostgreSQL {major}.{minor}", *versions, *absent))
        pairs = {(s, cell.reference): (0.0, 0.0) for s in rates if s != cell.reference}
        pairs |= {(s, r): bar for s in cell.judged for r, bar in cell.bars.items() if r in rates}
        return [
            Ratio(s, "tasks/s", bar, rates[s], rates[r], name, r, stretch, setting)
            for (s, r), (bar, stretch) in pairs.items()
        ]

    def close(self) -> None:
        """Leave no database behind."""
        for name in ("run", *self.installed):
            self.admin.execute(f'drop database if exists "bench {name}" with (force)'.encode())
        self.admin.close()


# --- report

INTRO = """# Beside other queues

Written by `python -m benchmarks.queues`: ratios of the rates of two queues that took turns in one
run on one machine (median of the pairs, minimum to maximum; in brackets behind a bar: what is hoped
for). jobsdb keeps its finished tasks, counts exactly, guards every move and leases every claim; all
tasks belong to one job. floor is a table of three columns that only claims and finishes, in two
commits; fused means finish and claim in one call. Each competitor runs its own SQL without its
client library, which flatters it. Every pair: [queues.jsonl](queues.jsonl).
"""
HEAD = "| what | median | min to max | bar | within |\n| --- | --- | --- | --- | --- |\n"


def plot(figures: Sequence[Ratio], title: str, path: Path) -> None:
    """Draw the ratios to a cell's reference, with minimum and maximum."""
    from matplotlib.figure import Figure as Picture

    reference = CELLS[figures[0].cell].reference
    seen = {figure.what: figure for figure in figures if figure.reference_name == reference}
    low = [figure.ratio - min(figure.ratios) for figure in seen.values()]
    high = [max(figure.ratios) - figure.ratio for figure in seen.values()]
    picture = Picture(figsize=(8, 1 + 0.4 * len(seen)), layout="constrained")
    axes = picture.subplots()
    axes.barh(
        list(seen),
        [figure.ratio for figure in seen.values()],
        xerr=[low, high],
        color=["#2a6f97" if name.startswith("jobsdb") else "#b8b8b8" for name in seen],
        capsize=3,
    )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel(f"tasks a second ÷ {reference} (median, minimum to maximum)")
    axes.set_title(title, fontsize=10)
    picture.savefig(path, dpi=80, metadata={"Software": None})


def write(figures: Sequence[Ratio], out: Path, draws: bool) -> None:
    """Write the results, with those of the cells that were not run this time."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "queues.jsonl"
    run = {figure.cell for figure in figures}
    with contextlib.suppress(FileNotFoundError):
        old = [Ratio(**json.loads(line)) for line in log.read_text().splitlines()]
        figures = [*figures, *(figure for figure in old if figure.cell not in run)]
    text, lines = INTRO, ""
    for name, cell in CELLS.items():
        if shown := [figure for figure in figures if figure.cell == name]:
            rows = "".join(f"{figure.row()}\n" for figure in shown)
            text += f"\n## {cell.title}\n\n{shown[0].setting}.\n\n{HEAD}{rows}"
            lines += "".join(f"{figure.line()}\n" for figure in shown)
            picture = f"queues-{name}.png"
            if draws:
                plot(shown, cell.title, out / picture)
            if (out / picture).exists():
                text += f"\n![{cell.title}]({picture})\n"
    log.write_text(lines)
    (out / "queues.md").write_text(text)


def main() -> int:
    """Returns 1 when a bar was missed."""
    say = argparse.ArgumentParser(prog="python -m benchmarks.queues", description=__doc__)
    say.add_argument("--tasks", type=int, default=20_000, help="in the queue (%(default)s)")
    say.add_argument("--repetitions", type=int, default=5, help="of each subject (%(default)s)")
    say.add_argument("--only", default=",".join(CELLS), help="cells (%(default)s)")
    say.add_argument("--peers", type=Path, help="keep the competitors in this folder")
    say.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    options = say.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(CELLS):
        say.error(f"no such cell: {', '.join(sorted(unknown))}")
    wanted = {subject for name in names for subject in CELLS[name].subjects}
    seen: list[Ratio] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.peers or Path(scratch)
        draws = fetched(folder, PLOTTER)
        subjects = (*OURS, *peers(folder, wanted))
        bench = Bench(local.start(SERVER, SETTINGS), subjects)
        try:
            for name in names:
                figures = bench.figures(name, options.tasks, options.repetitions)
                write(figures, options.out, draws)
                seen += figures
        finally:
            bench.close()
            local.stop(SERVER)
    print("".join(f"{figure.row()}\n" for figure in seen), end="")
    return int(not all(figure.within for figure in seen))


if __name__ == "__main__":
    sys.exit(main())
