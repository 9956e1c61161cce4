"""The checks of `jobsdb verify` as they stand in sql/verify/, and what they say.

Every check is one SELECT, numbered by its layer, that returns what it finds: object, what is
missing, what is extra, and the fix. No row means ok. Its header says the rest:

    -- 2180 Every trigger is as released.   number and sentence, as in the name of the file
    -- so: moves are not proved             what can go wrong
    -- level: warning                       of its findings: failure (default), warning or note
    -- extra: warning                       of findings that are only too much; or: ignored
    -- strict: failure                      of all its findings, under --strict
    -- needs: cron.job                      a relation without which `doctor` does not ask
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from jobsdb import errors
from jobsdb.errors import Exit
from jobsdb.sqlfiles import normalise, sql_root

Layer = Literal["ledger", "structure", "security", "data", "behaviour"]
Level = Literal["failure", "warning", "note", "ignored"]
Word = Literal["ok", "FAIL", "warn", "note", "skip"]
Facts = dict[str, list[list[str]]]

LAYERS: dict[str, Layer] = {
    "1": "ledger",
    "2": "structure",
    "3": "security",
    "4": "data",
    "5": "behaviour",
}
WORDS: dict[Level, Word] = {"failure": "FAIL", "warning": "warn", "note": "note"}


@dataclass(frozen=True)
class Check:
    """One file of sql/verify/."""

    number: str
    sentence: str
    so: str
    level: Level
    extra: Level
    strict: bool
    """Whether all its findings are failures under --strict."""
    docs: str
    """Where it is explained: its file, as a path from the root of the repository."""
    sql: str
    needs: str | None = None
    """The relation without which it is not asked (doctor only)."""

    @property
    def layer(self) -> Layer:
        """The layer its number belongs to."""
        return LAYERS[self.number[0]]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    object: str
    missing: str | None
    extra: str | None
    fix: str | None
    level: Level = "failure"
    reason: str | None = None
    """Why it is ignored (see baseline.py)."""


@dataclass
class Result:
    """What a check has found; `unreadable` says why it could not look."""

    check: Check
    findings: list[Finding] = field(default_factory=list)
    unreadable: str | None = None
    passed: int = 0
    """Number of assertions that held (behaviour only)."""
    ignored: list[Finding] = field(default_factory=list)
    """What was found, and does not count."""

    @property
    def word(self) -> Word:
        """The verdict: the worst of its findings."""
        levels = {finding.level for finding in self.findings}
        clean: Word = "skip" if self.unreadable else "ok"
        return next((word for level, word in WORDS.items() if level in levels), clean)


def be_strict(results: Iterable[Result]) -> None:
    """Let what somebody else has added to our tables and schemas fail, instead of being told."""
    for result in results:
        if result.check.strict:
            result.findings = [replace(finding, level="failure") for finding in result.findings]


def load_checks(folder: Path | None = None) -> list[Check]:
    """The checks in a folder, sql/verify/ by default, in order of their numbers."""
    folder = sql_root() / "verify" if folder is None else folder
    return [_read(path) for path in sorted(folder.glob("[0-9]*.sql"))]


def load_proofs() -> list[Check]:
    """The files of `--behaviour`, in order of their numbers."""
    return load_checks(sql_root() / "verify" / "behaviour")


def expected_facts() -> Facts:
    """The golden expectations: [object, definition] pairs by number of the check."""
    facts: Facts = {}
    for line in text(sql_root() / "verify" / "expected.txt").splitlines():
        if line and not line.startswith("#"):
            number, *fact = line.split("\t")
            facts.setdefault(number, []).append(fact)
    return facts


def text(path: Path) -> str:
    """A file of sql/verify/, as it is sent."""
    return normalise(path.read_bytes())


def _read(path: Path) -> Check:
    """A check, with what its header says."""
    sql = text(path)
    header = sql.split("\nselect", 1)[0].split("\nwith", 1)[0]
    first = re.match(r"-- (\d{4}) (.+)\.\n", sql)
    if first is None:
        raise errors.JobsdbError(
            f"{path.name} does not begin with its number and sentence", code=Exit.INTERNAL
        )
    said = {key: " ".join(text.split("\n--")) for key, text in _HEADER.findall(header)}
    level: Level = said.get("level", "failure")  # type: ignore[assignment]
    extra: Level = said.get("extra", level)  # type: ignore[assignment]
    return Check(
        number=first[1],
        sentence=first[2],
        so=" ".join(said.get("so", "").split()),
        level=level,
        extra=extra,
        strict="strict" in said,
        docs=f"sql/{path.relative_to(sql_root()).as_posix()}",
        sql=sql,
        needs=said.get("needs"),
    )


_HEADER = re.compile(r"^-- (so|level|extra|strict|needs): (.+(?:\n--     .+)*)", re.MULTILINE)
