"""`jobsdb bundle --uninstall`: the SQL that takes jobsdb out of a database.

It stands in sql/bundle/uninstall.sql. The names of what it drops are those that `jobsdb verify`
expects: nothing else is ever dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from jobsdb import __version__, sqlfiles
from jobsdb.check import checks
from jobsdb.deploy import bundle
from jobsdb.deploy.migrate import LOCK_KEY
from jobsdb.sqlfiles import SqlFile

_RELATIONS, _TYPES, _FUNCTIONS = "2110", "2130", "2170"
_PARTS = ("2140", "2150", "2180", "3030")
"""Checks of constraints, indexes, triggers and policies."""


def build(files: Sequence[SqlFile] | None = None) -> str:
    """The text of the file."""
    files = sqlfiles.load() if files is None else files
    facts = checks.expected_facts()

    def names(*checks: str) -> Iterable[str]:
        return sorted({fact[0] for check in checks for fact in facts[check]})

    path = sqlfiles.sql_root() / "bundle" / "uninstall.sql"
    return bundle.fill(
        path,
        {
            "RELEASE": __version__,
            "LOCK": str(LOCK_KEY),
            "FILES": _array(file.path for file in files),
            "HASHES": _array(file.sha256 for file in files),
            "RELATIONS": _array(names(_RELATIONS)),
            "TYPES": _array(names(_TYPES)),
            "FUNCTIONS": _array(names(_FUNCTIONS)),
            "PARTS": _array(names(*_PARTS)),
        },
    )


def write(path: Path) -> None:
    """Write the file. Errors: UsageError when that is not possible."""
    with bundle.writing_to(path.parent):
        bundle.put(path, build())


def _array(values: Iterable[str]) -> str:
    return ",\n".join("    '" + value.replace("'", "''") + "'" for value in values)
