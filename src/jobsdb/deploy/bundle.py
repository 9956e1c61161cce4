"""`jobsdb bundle`: writes the files that install jobsdb by hand.

Each is one `do` statement (the frame is bundle.sql) around the text of its files, so that it is
atomic on every route: psql -f, an SQL editor, psql -1, `supabase db push`. The output depends on
nothing but the files of sql/ and the release. What a folder that already has files of an older
release still needs is written by folder.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from jobsdb import __version__
from jobsdb.deploy.script import LOCK_KEY
from jobsdb.errors import Exit, JobsdbError, Refused, UsageError
from jobsdb.sqlfiles import SqlFile, load, migrations, normalise

MARK = "-- jobsdb bundle "
"""How a file of ours begins; nothing else is overwritten."""
SUM = "-- SHA-256 of what follows: "
"""How its second line begins; then 64 hexadecimal digits."""

_WHAT = {
    1: "jobs, their tasks, the state machine, tenancy",
    2: "links from cards and agent runs to jobs",
    3: "metrics",
    4: "campaigns: contacts, audiences, templates, planning",
    5: "e-mails: the ledger of what was approved, sent and reported",
}


def build(files: Sequence[SqlFile] | None = None) -> dict[str, str]:
    """The text of the files by name, in the order in which they are run."""
    files = load() if files is None else files
    heads: dict[int, SqlFile] = {}
    for file in migrations(files):
        heads.setdefault(file.bundle, file)
    if list(heads) != list(_WHAT):
        raise JobsdbError("each bundle file needs a migration", code=Exit.INTERNAL)
    names = [f"{head.stem}.sql" for head in heads.values()]
    return {name: _base(number, names, heads, files) for number, name in enumerate(names, 1)}


def update(name: str, needs: Mapping[str, str], files: Sequence[SqlFile]) -> str:
    """The text of a file that brings a database to this release.

    `needs` are the migrations that were there before, with their hashes. What is present state is
    applied as a whole; a migration only where it is missing.
    """
    own = [file for file in files if file.path not in needs]
    own.sort(key=lambda file: file.kind == "present")  # as `jobsdb migrate` does
    pending = {file.path for file in migrations(own)}
    executes = "\n".join(
        f"    if not v_known ? '{file.path}' then\n{_execute(file, own)}    end if;\n"
        if file.path in pending
        else _execute(file, own)
        for file in own
    )
    return _fill(
        own,
        {
            "TITLE": f"update to release {__version__}",
            "NAME": name,
            "WHAT": f"what release {__version__} has otherwise than the files before it",
            "ORDER": "-- It is run after all files of jobsdb with a lower number.",
            "NEEDS": ", ".join(f"'{path}'" for path in needs),
            "NEEDS_HASHES": ", ".join(f"'{sha256}'" for sha256 in needs.values()),
            "NEXT": "Check it with `jobsdb verify`.",
            "FILE_N": f"the update to release {__version__}",
            "HEAD": "",
            "IS_UPDATE": "true",
            "ADOPTS": "true",
            "EXECUTES": executes,
        },
    )


def write(directory: Path, files: Sequence[SqlFile] | None = None) -> list[tuple[Path, bool]]:
    """Write the files; returns each path and whether it changed.

    Errors: Refused when a file of that name is not ours, UsageError when the folder is impossible.
    """
    texts = {directory / name: text for name, text in build(files).items()}
    with writing_to(directory):
        old = {path: normalise(path.read_bytes()) for path in texts if path.exists()}
        for path, text in old.items():
            if not text.startswith(MARK):
                raise Refused(
                    f"{path} is not a file written by jobsdb",
                    hint="Choose another folder, or move that file away.",
                )
        for path, text in texts.items():
            if old.get(path) != text:
                put(path, text)
    return [(path, old.get(path) != text) for path, text in texts.items()]


@contextmanager
def writing_to(directory: Path) -> Iterator[None]:
    """Make a folder and work in it. Errors: UsageError when that is not possible."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, UnicodeDecodeError) as exc:
        name = getattr(exc, "filename", None) or directory
        why = getattr(exc, "strerror", None) or str(exc)
        raise UsageError(
            f"cannot write to {name}: {why.lower()}", hint="Name a folder that can be written to."
        ) from exc


def put(path: Path, text: str) -> None:
    """Write a file as a whole or not at all. Errors: OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(text.encode())
    fresh.replace(path)


def checksum(rest: str) -> str:
    """SHA-256 (hex) of what follows the second line of a file."""
    return hashlib.sha256(rest.encode()).hexdigest()


def fill(frame: Path, values: Mapping[str, str]) -> str:
    """A text with every @NAME@ in it replaced."""
    pieces = normalise(frame.read_bytes()).split("@")
    return "".join(values[p] if place % 2 else p for place, p in enumerate(pieces))


def _base(
    number: int, names: Sequence[str], heads: Mapping[int, SqlFile], files: Sequence[SqlFile]
) -> str:
    """One of the files for a database that has nothing."""
    own = [file for file in files if file.bundle == number]
    needed = heads.get(number - 1)
    listed = "\n".join(f"--   {name}" for name in names)
    return _fill(
        own,
        {
            "TITLE": f"{number} of {len(names)}",
            "NAME": names[number - 1],
            "WHAT": _WHAT[number],
            "ORDER": f"-- One of {len(names)} files that install jobsdb by hand."
            f" They are run in the order of their names:\n{listed}",
            "NEEDS": f"'{needed.path}'" if needed else "",
            "NEEDS_HASHES": f"'{needed.sha256}'" if needed else "",
            "NEXT": f"Next: {names[number]}"
            if number < len(names)
            else "Check it with `jobsdb verify`.",
            "FILE_N": f"file {number} of {len(names)}",
            "HEAD": heads[number].path,
            "IS_UPDATE": "false",
            "ADOPTS": str(number == 2).lower(),
            "EXECUTES": "\n".join(_execute(file, own) for file in own),
        },
    )


def _fill(own: Sequence[SqlFile], values: Mapping[str, str]) -> str:
    """The frame with everything filled in, and its checksum on the second line."""
    everything = {
        "RELEASE": __version__,
        "LOCK": str(LOCK_KEY),
        "TAG": _unused_tag("jobsdb_bundle", own),
        "CONTENTS": "\n".join(f"--   {file.sha256}  {file.path}" for file in own),
        "FILES": ",\n".join(f"    '{file.path}'" for file in own),
        "HASHES": ",\n".join(f"    '{file.sha256}'" for file in own),
        **values,
    }
    text = fill(Path(__file__).with_name("bundle.sql"), everything)
    first, _, rest = text.partition("\n")
    return f"{first}\n{SUM}{checksum(rest)}\n{rest}"


def _execute(file: SqlFile, own: Sequence[SqlFile]) -> str:
    """A file as a statement of the frame; line ends that an editor has changed are put right."""
    tag = _unused_tag("jobsdb_sql", own)
    text = file.text.rstrip()
    return f"    -- sql/{file.path}\n    execute replace(${tag}$\n{text}\n${tag}$, v_cr, '');\n"


def _unused_tag(tag: str, own: Sequence[SqlFile]) -> str:
    """A dollar-quote tag that does not occur in the files."""
    while any(f"${tag}$" in file.text for file in own):
        tag += "_"
    return tag
