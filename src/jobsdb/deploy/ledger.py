"""What a database has of jobsdb, and what it lacks: its ledger against the files of the package."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from jobsdb import __version__, errors
from jobsdb.sqlfiles import SqlFile, migrations

if TYPE_CHECKING:
    from jobsdb.connect import Connection, Target

_FIRST_RELEASE = (1, 0)
"""From then on migrations are frozen."""
_EXISTS = "select pg_catalog.to_regclass('jobsdb.ledger') is not null"
_READ = (
    "select distinct on (file) file, sha256, release, route, applied_at, applied_by"
    " from jobsdb.ledger order by file, seq desc"
)


@dataclass(frozen=True)
class Entry:
    """The last row of a file in the ledger."""

    file: str
    sha256: str
    release: str
    route: str
    applied_at: datetime
    applied_by: str


@dataclass(frozen=True)
class Plan:
    """The package's files against a ledger."""

    files: tuple[SqlFile, ...]
    entries: Mapping[str, Entry]

    @property
    def pending(self) -> list[SqlFile]:
        """Migrations the database does not have, oldest first."""
        return [file for file in migrations(self.files) if file.path not in self.entries]

    @property
    def changed(self) -> list[SqlFile]:
        """Files other than migrations that the database has differently or not at all."""
        return [file for file in self.files if file.kind != "migration" and not self._same(file)]

    @property
    def edited(self) -> list[SqlFile]:
        """Migrations that were edited after the database got them."""
        return [
            file
            for file in migrations(self.files)
            if file.path in self.entries and not self._same(file)
        ]

    @property
    def unknown(self) -> list[str]:
        """Migrations the database has and the package does not."""
        known = {file.path for file in self.files}
        return sorted(f for f in self.entries if f.startswith("migrations/") and f not in known)

    @property
    def nothing_to_do(self) -> bool:
        """Whether the database is what the package would make of it."""
        return not (self.pending or self.changed or self.edited or self.unknown)

    @property
    def schema(self) -> str:
        """The version of the newest applied migration, or `nothing`."""
        applied = (file for file in self.entries if file.startswith("migrations/"))
        return max(map(version, applied), default="nothing")

    @property
    def release(self) -> str:
        """The newest release that put something into the database."""
        return max((entry.release for entry in self.entries.values()), key=_order, default="")

    def refuse(self, target: Target) -> None:
        """Errors: Refused when the ledger and the package contradict each other."""
        for file in self.edited:
            entry = self.entries[file.path]
            raise errors.Refused(
                f"the migration {file.stem} was edited after this database got it",
                detail=f"applied as {entry.sha256[:12]}, now {file.sha256[:12]}",
                at=f"sql/{file.path}",
                hint=_throw_away(target, entry)
                or "Put the released file back; a change goes into a new migration.",
            )
        if unknown := self.unknown:
            raise self._newer(f"it has {', '.join(version(f) for f in unknown)}, unknown to jobsdb")
        last = max((f for f in self.entries if f.startswith("migrations/")), default="")
        for file in self.pending:
            if file.path < last:
                raise errors.Refused(
                    f"the migration {file.stem} is older than one this database already has",
                    detail=f"the newest applied migration is {version(last)}",
                    at=f"sql/{file.path}",
                    hint="Give the file a newer version, or repair the ledger of the database.",
                )
        if not self.nothing_to_do and _order(self.release) > _order(__version__):
            raise self._newer(f"its files are of release {self.release}, this is")

    def _same(self, file: SqlFile) -> bool:
        entry = self.entries.get(file.path)
        return entry is not None and entry.sha256 == file.sha256

    def _newer(self, fact: str) -> errors.Refused:
        return errors.Refused(
            "the database is newer than this jobsdb",
            detail=f"{fact} {__version__}",
            hint="Install the newer release of jobsdb and run it instead.",
        )


def read(conn: Connection, files: Sequence[SqlFile]) -> Plan:
    """Compare the ledger of a database with the files; an absent ledger is an empty one."""
    row = conn.execute(_EXISTS).fetchone()
    rows = conn.execute(_READ).fetchall() if row and row[0] else []
    return Plan(tuple(files), {row[0]: Entry(*row) for row in rows})


def version(path: str) -> str:
    """The version in a migration's path: its leading digits."""
    return path.rpartition("/")[2].partition("_")[0]


def _throw_away(target: Target, entry: Entry) -> str | None:
    """What to do with an embedded database that an unreleased jobsdb has made; else None."""
    from jobsdb import local

    if target.source != "embedded" or _order(entry.release) >= _FIRST_RELEASE:
        return None
    _, folder = local.folders("default", None)
    return (
        f"This embedded database was made by an unreleased jobsdb ({entry.release}) and cannot be"
        " brought up to date. Throw it away, with all it holds, then run this again:"
        f" jobsdb local stop && rm -r {shlex.quote(str(folder))}"
    )


def _order(release: str) -> tuple[int, ...]:
    """A release as numbers that compare; what follows the numbers does not count."""
    numbers = re.match(r"\d+(?:\.\d+)*", release)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
