"""The result of a deployment is verified before it is committed, in the same transaction.

The layers ledger, structure and security only read. A check that fails takes everything back; what
only warns does not. Indexes and validation of big host tables are still to come then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobsdb import errors
from jobsdb.check import verify
from jobsdb.check.checks import Check, Finding, Result
from jobsdb.sqlfiles import SqlFile

if TYPE_CHECKING:
    from jobsdb.connect import Connection

LAYERS = ("ledger", "structure", "security")
SHOWN = 3
SKIP = "--no-checks"
"""The option that leaves them out."""


def prepare() -> list[Check]:
    """Read the checks, before tables are locked."""
    return verify.of_layers(LAYERS)


def check(conn: Connection, checks: Sequence[Check], files: Sequence[SqlFile]) -> None:
    """Run the checks in the transaction that is open, which goes on as it was.

    Errors: Refused when one fails, psycopg.Error.
    """
    failures = failing(conn, checks, files)
    if not failures:
        return
    lines = [
        f"{result.check.number} {result.check.sentence}: {_described(finding)}"
        for result, finding in failures[:SHOWN]
    ]
    if len(failures) > SHOWN:
        lines.append(f"and {len(failures) - SHOWN} more")
    raise errors.Refused(
        "the result would not be what this release promises",
        detail="\n".join(lines),
        hint="Mend what is named and run it again. Should it be committed as it is: jobsdb migrate"
        f" {SKIP}; then `jobsdb verify` lists everything.",
    )


def failing(
    conn: Connection, checks: Sequence[Check], files: Sequence[SqlFile]
) -> list[tuple[Result, Finding]]:
    """What the checks find wrong, each with its check. Errors: psycopg.Error."""
    results = verify.check(conn, some=checks, deployed=files)
    return [(r, f) for r in results for f in r.findings if f.level == "failure"]


def _described(finding: Finding) -> str:
    """One finding in one line, with its remedy."""
    parts = [finding.object]
    for label in ("missing", "extra", "fix"):
        if said := getattr(finding, label):
            parts.append(f"{label}: {' '.join(said.split())[:200]}")
    return "; ".join(parts)
