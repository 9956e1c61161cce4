"""What campaigns promise about speed: `python -m benchmarks.campaigns [FILE.md]`.

With a file's name it also writes its table there, and every pair beside it as .jsonl. The sizes of
the promises take a quarter of an hour; --quick takes a tenth of everything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import audience, refresh, review, sends
from benchmarks.harness import QUIET, Figure, Scratch, log, scratch_server, table

SERVER = "bench-campaigns"
INTRO = """# Campaigns

Written by `python -m benchmarks.campaigns docs/performance/campaigns.md`: ratios of two subjects
that took turns in one run on one machine (median of the pairs, minimum to maximum), or bytes and
buffers, which no clock disturbs. Where no bar stands, nothing is promised. Bare means a table of
the same columns, checks and indexes without triggers and foreign keys; a page is 50 cards; half of
the tasks of the open jobs are done before the first refresh. Every pair: [{log}]({log}).

"""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    contacts: int = 100_000
    waiting: tuple[int, int, int] = (100_000, 10_000, 1_000)
    tasks: tuple[int, int] = (5_000_000, 50_000)
    finished: tuple[int, int] = (20_000, 200)
    sends: int = 2_000


QUICK = Sizes(10_000, (10_000, 5_000, 1_000), (500_000, 5_000), (2_000, 20), 500)
PARTS: dict[str, Callable[[Scratch, Sizes], Iterator[Figure]]] = {
    "audience": lambda scratch, sizes: audience.figures(scratch.installed(), sizes.contacts),
    "review": lambda scratch, sizes: review.figures(scratch.installed(), *sizes.waiting),
    "refresh": lambda scratch, sizes: refresh.figures(scratch, sizes.tasks, sizes.finished),
    "sends": lambda scratch, sizes: sends.figures(scratch.installed(), sizes.sends),
}


def main() -> int:
    """Returns 1 when a bar was passed."""
    say = argparse.ArgumentParser(prog="python -m benchmarks.campaigns", description=__doc__)
    say.add_argument("file", type=Path, nargs="?", help="where the table is written")
    say.add_argument("--quick", action="store_true", help="smaller, for those who change something")
    say.add_argument("--only", default=",".join(PARTS), help="parts (%(default)s)")
    options = say.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(PARTS):
        say.error(f"no such part: {', '.join(sorted(unknown))}")
    seen: list[Figure] = []
    with scratch_server(SERVER, QUIET) as scratch:
        for name in names:
            for figure in PARTS[name](scratch, QUICK if options.quick else Sizes()):
                print(figure.row(), flush=True)
                seen.append(figure)
    if options.file:
        beside = options.file.with_suffix(".jsonl")
        options.file.write_text(INTRO.format(log=beside.name) + table(seen))
        beside.write_text(log(seen))
    return int(not all(figure.within for figure in seen))


if __name__ == "__main__":
    sys.exit(main())
