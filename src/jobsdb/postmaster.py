"""Which processes are at work on a data folder (see ``local``).

They are known by their command lines, which everybody may read: a zombie has none, and a later
process of the same number has another. (Root in a container may not even look up a process's
working folder.)
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from jobsdb.pgbin import run

PROC = Path("/proc")


def live_pidfile(data: Path) -> list[str] | None:
    """Return the lines of ``postmaster.pid`` when the postmaster it names is alive."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    alive = bool(lines) and lines[0].isdigit() and any(_programs(data, lines[0]))
    return lines if alive else None


def is_at_work(data: Path) -> bool:
    """Tell whether a pg_ctl or a postmaster is at work on a data folder, with a pid file or not.

    That of a killed command goes on: whoever starts another beside it, or removes the pid file it
    is about to write, ends both.
    """
    return not {"pg_ctl", "postgres"}.isdisjoint(_programs(data))


def _programs(data: Path, pid: str | None = None) -> Iterator[str]:
    """Yield the programs, of all processes or of one, that were given a data folder."""
    if (PROC / "self" / "cmdline").exists():
        for path in PROC.glob(f"{pid or '[0-9]*'}/cmdline"):
            with suppress(OSError):  # it has ended
                program, *arguments = os.fsdecode(path.read_bytes()).split("\0")
                if str(data) in arguments:
                    yield Path(program).name
        return
    which = ["-p", pid] if pid else ["-ax"]
    for line in run(None, "ps", "-ww", *which, "-o", "stat=,command=").stdout.splitlines():
        state, _, command = line.strip().partition(" ")
        program, given, _ = command.strip().partition(f" -D {data} ")
        if given and not state.startswith("Z"):
            yield Path(program).name
