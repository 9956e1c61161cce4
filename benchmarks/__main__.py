"""Time the command and the SQL on a server of their own, and write docs/performance/schema.md."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from benchmarks import command, schema
from benchmarks.harness import SETTINGS, Figure, log, scratch_server, table

OUT = Path(__file__).parent.parent / "docs" / "performance"
SERVER = "bench"
INTRO = """# The command and the schema

Written by `python -m benchmarks`: ratios of two subjects that took turns in one run on one machine
(median of the pairs, minimum to maximum), or counts of buffers. Times on shared machines mean
nothing. Every pair: [schema.jsonl](schema.jsonl).

"""


def main() -> int:
    """Returns 1 when a bar was passed."""
    names = (f"bench_{number}" for number in itertools.count(1))
    seen: list[Figure] = []
    with scratch_server(SERVER, SETTINGS) as scratch:
        url = scratch.installed("bench")
        bare_url = scratch.new("bare", "bench")
        ours = schema.figures(url, bare_url)
        for figure in itertools.chain(command.figures(lambda: scratch.new(next(names))), ours):
            print(figure.row(), flush=True)
            seen.append(figure)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "schema.md").write_text(INTRO + table(seen))
    (OUT / "schema.jsonl").write_text(log(seen))
    return int(not all(figure.within for figure in seen))


if __name__ == "__main__":
    sys.exit(main())
