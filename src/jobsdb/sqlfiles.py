"""The files of sql/: where they are, in which order, of which kind, and their hashes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from jobsdb.errors import Exit, JobsdbError

Kind = Literal["prerequisite", "migration", "present"]

ORDER = "order.txt"
OTHER_FOLDERS = (
    "adopt",
    "verify",
    "doctor",
    "seeds",
    "bundle",
    "migrate",
    "explain",
    "docs",
    "watch",
    "report",
)
"""Folders of sql/ whose files are not deployed."""

_KINDS: dict[str, Kind] = {"prerequisites": "prerequisite", "migrations": "migration"}
_BUNDLE = re.compile(r"-- bundle ([1-9])\s*$")
_MIGRATION = re.compile(r"migrations/\d{14}_[a-z0-9_]+\.sql")


@dataclass(frozen=True)
class SqlFile:
    """One file of sql/ as it is hashed and sent: UTF-8, LF line ends, no byte order mark."""

    path: str
    kind: Kind
    bundle: int
    text: str

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def stem(self) -> str:
        """File name without folder and ending."""
        return PurePosixPath(self.path).stem


def sql_root() -> Path:
    """The folder sql/: inside the installed package, else of the checkout."""
    here = Path(__file__).parent
    for candidate in (here / "sql", here.parent.parent / "sql"):
        if (candidate / ORDER).is_file():
            return candidate
    raise _broken("the SQL files of jobsdb are missing", "Install the package again.")


def load(root: Path | None = None) -> list[SqlFile]:
    """Every file to deploy, in order.

    Errors: JobsdbError when order.txt and the folders disagree or a file has no header.
    """
    root = sql_root() if root is None else root
    listed = _listed(root)
    present = set(_found(root))
    if unlisted := sorted(present - set(listed)):
        raise _broken(f"sql/{unlisted[0]} is not listed in sql/{ORDER}", "Add it where it belongs.")
    if missing := sorted(set(listed) - present):
        raise _broken(f"sql/{missing[0]} is listed in sql/{ORDER} but missing", "Restore it.")
    files = [_read(root, path) for path in listed]
    names = [file.path for file in files if file.kind == "migration"]
    if names != sorted(names):
        raise _broken(f"the migrations in sql/{ORDER} are not sorted by name", "Sort them.")
    return files


def migrations(files: Iterable[SqlFile]) -> list[SqlFile]:
    """The migrations among the files, oldest first."""
    return [file for file in files if file.kind == "migration"]


def migrate_text(name: str) -> str:
    """The text of a file of sql/migrate/: what a deployment asks or knows, and does not apply."""
    return read_text(f"migrate/{name}")


def read_text(path: str) -> str:
    """The text of a file below sql/ that is not deployed."""
    return normalise((sql_root() / path).read_bytes())


def normalise(data: bytes) -> str:
    """A file's text as it is hashed and sent."""
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def _found(root: Path) -> Iterator[str]:
    """The paths of all SQL files that ought to be listed."""
    for folder, folders, names in os.walk(root):
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        if below == ".":
            folders[:] = [name for name in folders if name not in OTHER_FOLDERS]
        for name in names:
            if name.endswith(".sql"):
                yield name if below == "." else f"{below}/{name}"


def _listed(root: Path) -> list[str]:
    """The paths in order.txt."""
    lines = (line.strip() for line in normalise((root / ORDER).read_bytes()).splitlines())
    listed = [line for line in lines if line and not line.startswith("#")]
    for number, path in enumerate(listed):
        if path in listed[:number]:
            raise _broken(f"sql/{ORDER} lists {path} twice", "Remove one of the two lines.")
    return listed


def _read(root: Path, path: str) -> SqlFile:
    """One file, with what its folder and its header say about it."""
    try:
        text = normalise((root / path).read_bytes())
    except UnicodeDecodeError:
        raise _broken(f"sql/{path} is not UTF-8", "Save it as UTF-8.") from None
    if "\0" in text:
        raise _broken(f"sql/{path} contains a NUL character", "Remove it.")
    header = _BUNDLE.match(text.partition("\n")[0])
    if header is None:
        raise _broken(
            f"sql/{path} does not say which bundle it goes into",
            "Its first line must be `-- bundle N` with the number N of a bundle.",
        )
    folder = path.partition("/")[0]
    kind = _KINDS.get(folder, "present")
    if kind == "migration" and not _MIGRATION.fullmatch(path):
        raise _broken(f"sql/{path} is not named like a migration", "Use <14 digits>_<name>.sql.")
    return SqlFile(path, kind, int(header[1]), text)


def _broken(sentence: str, hint: str) -> JobsdbError:
    return JobsdbError(sentence, code=Exit.INTERNAL, hint=hint)
