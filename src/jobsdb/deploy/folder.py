"""The files of jobsdb in a folder such as supabase/migrations: what they bring, what they lack.

`supabase db push` remembers by their numbers which files a database has, so a file that may have
been pushed is never written again. What a newer release has otherwise goes into one more file with
a higher number, which brings any database to that release. Each file lists what it contains with
hashes, and carries a checksum of itself: nothing but the folder is needed to tell what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from jobsdb import __version__
from jobsdb.deploy import bundle
from jobsdb.errors import Refused
from jobsdb.sqlfiles import SqlFile, load, migrations, normalise

_CONTENT = re.compile(r"^--   ([0-9a-f]{64})  (\S+)$", re.MULTILINE)
_NUMBER = re.compile(r"(\d+)_.*\.sql")


@dataclass
class Folder:
    """What a folder has."""

    path: Path
    names: list[str] = field(default_factory=list)
    """Files of ours, in the order in which they are run."""
    edited: list[str] = field(default_factory=list)
    """Those of them that are not as jobsdb wrote them."""
    brings: dict[str, str] = field(default_factory=dict)
    """What they contain, all together: the hash of each file of sql/."""
    highest: int = 0
    """The highest number of a file there, whoever wrote it."""


@dataclass(frozen=True)
class Finding:
    """What is not as this release would have it."""

    word: str
    """missing, stale, edited"""
    name: str
    why: str


def read(path: Path) -> Folder:
    """Look into a folder; one that is not there has nothing. Errors: UsageError."""
    found = Folder(path)
    if not path.exists():
        return found
    with bundle.writing_to(path):
        for file in sorted(path.iterdir()):
            number = _NUMBER.fullmatch(file.name)
            if number is None or not file.is_file():
                continue
            found.highest = max(found.highest, int(number[1]))
            text = normalise(file.read_bytes())
            if not text.startswith(bundle.MARK):
                continue
            found.names.append(file.name)
            _, second, rest = [*text.split("\n", 2), "", ""][:3]
            if second != bundle.SUM + bundle.checksum(rest):
                found.edited.append(file.name)
            found.brings.update(contents(text))
    return found


def contents(text: str) -> dict[str, str]:
    """The files of sql/ that a file says it contains, with their hashes."""
    return {name: sha256 for sha256, name in _CONTENT.findall(text)}


def check(path: Path, files: Sequence[SqlFile] | None = None) -> list[Finding]:
    """What a folder lacks to have what this release needs; writes nothing. Errors: UsageError."""
    files = load() if files is None else files
    folder = read(path)
    if not folder.names:
        return [Finding("missing", name, "it was never written") for name in bundle.build(files)]
    found = [
        Finding("edited", name, "it is not as jobsdb wrote it: put the written one back")
        for name in folder.edited
    ]
    for file in _gaps(folder, files):
        found.append(Finding("missing", f"{file.stem}.sql", "later ones are there: put it back"))
    for file in _contradicted(folder, files):
        found.append(Finding("edited", file.path, "a migration changed after it was written"))
    for name in _unknown(folder, files):
        found.append(Finding("stale", name, f"release {__version__} does not know this migration"))
    if not found:
        found = [
            Finding("stale", file.path, "a new migration") if file.kind == "migration"
            else Finding("stale", file.path, "changed since the files were written")
            for file in _changed(folder, files)
        ]  # fmt: skip
    return found


def write(
    path: Path, now: datetime, files: Sequence[SqlFile] | None = None
) -> list[tuple[Path, bool]]:
    """Write what a folder lacks; returns each file of ours there and whether it is new.

    A file that is there stays as it is. `now` (UTC) numbers a new one, as `supabase migration new`
    does. Errors: Refused when the files there cannot be gone on from, UsageError.
    """
    files = load() if files is None else files
    folder = read(path)
    if not folder.names:
        _refuse_taken(path, files)
        return bundle.write(path, files)
    _refuse(folder, files)
    there = [(path / name, False) for name in folder.names]
    if not _changed(folder, files):
        return there
    number = f"{now:%Y%m%d%H%M%S}"
    if int(number) <= folder.highest:
        number = _after(folder.highest)
    name = f"{number}_update_jobsdb_to_{re.sub('[^0-9a-z]+', '_', __version__.lower())}.sql"
    needs = {f.path: f.sha256 for f in migrations(files) if f.path in folder.brings}
    with bundle.writing_to(path):
        bundle.put(path / name, bundle.update(name, needs, files))
    return [*there, (path / name, True)]


def _refuse_taken(path: Path, files: Sequence[SqlFile]) -> None:
    """Errors: Refused when a file of somebody else has the number of one of ours."""
    if not path.exists():
        return
    numbers = {name.partition("_")[0]: name for name in bundle.build(files)}
    for file in sorted(path.glob("*.sql")):
        ours = numbers.get(file.name.partition("_")[0])
        if ours not in (None, file.name):
            raise Refused(
                f"{file} has the number of {ours}",
                hint="Give that file another number: two of the same are refused by Supabase.",
            )


def _refuse(folder: Folder, files: Sequence[SqlFile]) -> None:
    """Errors: Refused."""
    for name in folder.edited:
        raise Refused(
            f"{folder.path / name} is not as jobsdb wrote it",
            hint="Put the written file back, from version control; nothing was written.",
        )
    for file in _gaps(folder, files):
        raise Refused(
            f"{folder.path} has no {file.stem}.sql, but later ones",
            hint="Put the file back, from version control; nothing was written.",
        )
    for file in _contradicted(folder, files):
        raise Refused(
            f"the migration {file.stem} was edited after the files in {folder.path} were written",
            detail=f"written as {folder.brings[file.path][:12]}, now {file.sha256[:12]}",
            hint="Until 1.0 that happens. If no database has got these files, delete them and"
            " write them again; else stay with the release they are of.",
        )
    for name in _unknown(folder, files):
        raise Refused(
            f"{folder.path} is newer than this jobsdb",
            detail=f"it has {name}, unknown to release {__version__}",
            hint="Install the newer release of jobsdb and run it instead.",
        )


def _gaps(folder: Folder, files: Sequence[SqlFile]) -> list[SqlFile]:
    """Migrations that are not there although a later one is."""
    last = max((name for name in folder.brings if name.startswith("migrations/")), default="")
    return [f for f in migrations(files) if f.path < last and f.path not in folder.brings]


def _contradicted(folder: Folder, files: Sequence[SqlFile]) -> list[SqlFile]:
    """Migrations that are there with another content."""
    return [f for f in migrations(files) if folder.brings.get(f.path, f.sha256) != f.sha256]


def _unknown(folder: Folder, files: Sequence[SqlFile]) -> list[str]:
    """Migrations that are there and not in this release."""
    known = {file.path for file in files}
    return sorted(f for f in folder.brings if f.startswith("migrations/") and f not in known)


def _changed(folder: Folder, files: Sequence[SqlFile]) -> list[SqlFile]:
    """What this release has otherwise."""
    return [file for file in files if folder.brings.get(file.path) != file.sha256]


def _after(number: int) -> str:
    """The number a second later; one more where it is no time."""
    try:
        then = datetime.strptime(f"{number:014}", "%Y%m%d%H%M%S") + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return f"{number + 1:014}"
    return f"{then:%Y%m%d%H%M%S}"
