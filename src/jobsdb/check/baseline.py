"""What `jobsdb verify --baseline FILE` does not count: findings that somebody knows and accepts.

One entry a line: the number of a check, what its findings are about, and why that is all right.

    2150  public.jobs.dwh_*     # indexes of the data warehouse
    4220                        # the metrics are refreshed by hand

Without an object the entry stands for every finding of the check. In an object `*` is any text and
`?` one character. A check that could not look is never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jobsdb.check.checks import LAYERS, Finding, Result
from jobsdb.errors import UsageError

FORM = "Each line is: NUMBER [OBJECT] # why, for example: 2150 public.jobs.dwh_* # data warehouse"

_LINE = re.compile(r"(?P<number>\d{4})(?:\s+(?P<object>\S.*?))?\s+#\s*(?P<reason>\S.*)")


@dataclass(frozen=True)
class Entry:
    """One line of the file."""

    line: int
    number: str
    object: str
    reason: str

    def __str__(self) -> str:
        return f"{self.number} {self.object}".strip()

    def covers(self, number: str, finding: Finding) -> bool:
        """Whether it stands for a finding of a check."""
        wanted = re.escape(self.object or "*").replace(r"\*", ".*").replace(r"\?", ".")
        return number == self.number and re.fullmatch(wanted, finding.object, re.DOTALL) is not None


def read(path: Path) -> list[Entry]:
    """The entries of a file. Errors: UsageError when it cannot be read or says something else."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        why = (exc.strerror or "no reason").lower() if isinstance(exc, OSError) else "not UTF-8"
        raise UsageError(
            f"the baseline {path} cannot be read: {why}", hint="Name a text file."
        ) from exc
    return list(_entries(path, lines))


def apply(entries: Iterable[Entry], results: Iterable[Result]) -> list[Entry]:
    """Move what the entries cover to `ignored`; returns the entries that cover nothing.

    An entry about a layer that was not looked at is not among them.
    """
    entries = list(entries)
    results = list(results)
    used: set[Entry] = set()
    for result in results:
        kept = []
        for finding in result.findings:
            found = [entry for entry in entries if entry.covers(result.check.number, finding)]
            if found:
                used.update(found)
                result.ignored.append(replace(finding, level="ignored", reason=found[0].reason))
            else:
                kept.append(finding)
        result.findings = kept
    looked_at = {result.check.layer for result in results}
    return [e for e in entries if e not in used and LAYERS.get(e.number[0]) in {*looked_at, None}]


def _entries(path: Path, lines: list[str]) -> Iterator[Entry]:
    for place, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise UsageError(f"{path}:{place} is not an entry of a baseline: {line!r}", hint=FORM)
        yield Entry(place, found["number"], found["object"] or "", found["reason"])
