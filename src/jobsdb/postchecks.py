"""The result of a deployment is verified before it is committed, in the same transaction.

The layers ledger, structure and security only read. A check that fails takes everything back; what
only warns does not. Indexes and validation of big host tables are still to come then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobsdb import adoption, errors, verify, wire
from jobsdb.sqlfiles import SqlFile

if TYPE_CHECKING:
    from jobsdb.connect import Connection

LAYERS = ("ledger", "structure", "security")
SHOWN = 3
SKIP = "--no-checks"
"""The option that leaves them out."""

# What is set after the savepoint, read-only too, is put back by the rollback to it.
_BEGIN = (
    "savepoint jobsdb_checks; set transaction read only;"
    + verify.SETTINGS
    + "set local row_security = off; set local jit = off"
)
_AGAIN = "rollback to savepoint jobsdb_checks; release savepoint jobsdb_checks; " + _BEGIN
_END = "rollback to savepoint jobsdb_checks; release savepoint jobsdb_checks"


def prepare() -> list[verify.Check]:
    """Read the checks, before tables are locked."""
    return [check for check in verify.load_checks() if check.layer in LAYERS]


def check(conn: Connection, checks: Sequence[verify.Check], files: Sequence[SqlFile]) -> None:
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
    conn: Connection, checks: Sequence[verify.Check], files: Sequence[SqlFile]
) -> list[tuple[verify.Result, verify.Finding]]:
    """What the checks find wrong, each with its check. Errors: psycopg.Error."""
    wire.execute(conn, _BEGIN)
    results = verify.inspect(conn, checks, files=files, reopen=lambda: wire.execute(conn, _AGAIN))
    wire.execute(conn, _END)
    found = [(r, f) for r in results for f in r.findings if f.level == "failure"]
    if not found:
        return []
    to_come = [step for (step,) in conn.execute(adoption.STEPS.encode())]
    return [(r, f) for r, f in found if not _is_to_come(f, to_come)]


def _is_to_come(finding: verify.Finding, steps: Sequence[str]) -> bool:
    """Whether this is what adoption will mend after the commit."""
    if finding.missing in steps:
        return True
    name = finding.object.rpartition(".")[2]
    return name.startswith("jobsdb_") and any(name in step.split() for step in steps)


def _described(finding: verify.Finding) -> str:
    """One finding in one line, with its remedy."""
    parts = [finding.object]
    for label in ("missing", "extra", "fix"):
        if said := getattr(finding, label):
            parts.append(f"{label}: {' '.join(said.split())[:200]}")
    return "; ".join(parts)
