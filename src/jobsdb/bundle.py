"""`jobsdb bundle`: writes the files that install jobsdb by hand.

Each is one `do` statement (the frame is bundle.sql) around the text of its files, so that it is
atomic on every route: psql -f, an SQL editor, psql -1, `supabase db push`. The output depends on
nothing but the files of sql/ and the release.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jobsdb import __version__
from jobsdb.errors import Exit, JobsdbError, Refused, UsageError
from jobsdb.script import LOCK_KEY
from jobsdb.sqlfiles import SqlFile, load, migrations, normalise

MARK = "-- jobsdb bundle "
"""How a file of ours begins; nothing else is overwritten."""

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
    heads = {file.bundle: file for file in migrations(files)}
    if sorted(heads) != sorted(_WHAT) or len(migrations(files)) != len(_WHAT):
        raise JobsdbError("each bundle file needs one migration", code=Exit.INTERNAL)
    frame = normalise(Path(__file__).with_name("bundle.sql").read_bytes())
    return {
        f"{heads[number].stem}.sql": _bundle(frame, number, heads, files)
        for number in sorted(heads)
    }


def write(directory: Path, files: Sequence[SqlFile] | None = None) -> list[tuple[Path, bool]]:
    """Write the files; returns each path and whether it changed.

    Errors: Refused when a file of that name is not ours, UsageError when the folder is impossible.
    """
    texts = {directory / name: text.encode() for name, text in build(files).items()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        old = {path: path.read_bytes() for path in texts if path.exists()}
        for path, data in old.items():
            if not data.startswith(MARK.encode()):
                raise Refused(
                    f"{path} is not a file written by jobsdb",
                    hint="Choose another folder, or move that file away.",
                )
        for path, data in texts.items():
            if old.get(path) != data:
                fresh = path.with_name(f".{path.name}.{os.getpid()}")
                fresh.write_bytes(data)
                fresh.replace(path)
    except OSError as exc:
        raise UsageError(
            f"cannot write to {exc.filename or directory}: {(exc.strerror or 'no reason').lower()}",
            hint="Name a folder that can be written to.",
        ) from exc
    return [(path, old.get(path) != data) for path, data in texts.items()]


def _bundle(frame: str, number: int, heads: dict[int, SqlFile], files: Sequence[SqlFile]) -> str:
    """One bundle file: the frame with everything filled in."""
    head = heads[number]
    own = [file for file in files if file.bundle == number]
    everything = "".join(file.text for file in own)
    inner, outer = _unused_tag("jobsdb_sql", everything), _unused_tag("jobsdb_bundle", everything)
    names = [f"{heads[n].stem}.sql" for n in sorted(heads)]
    following = names[number] if number < len(names) else None
    values = {
        "NUMBER": str(number),
        "COUNT": str(len(names)),
        "NAME": names[number - 1],
        "RELEASE": __version__,
        "WHAT": _WHAT[number],
        "ORDER": "\n".join(f"--   {name}" for name in names),
        "CONTENTS": "\n".join(f"--   {file.sha256}  {file.path}" for file in own),
        "TAG": outer,
        "LOCK": str(LOCK_KEY),
        "FILE": head.path,
        "SHA256": head.sha256,
        "NEEDS": f"'{names[number - 2]}'" if number > 1 else "null",
        "NEXT": f"Next: {following}" if following else "Check it with `jobsdb verify`.",
        "FILES": ",\n".join(f"        '{file.path}'" for file in own),
        "HASHES": ",\n".join(f"        '{file.sha256}'" for file in own),
        "EXECUTES": "\n".join(
            f"    -- sql/{file.path}\n    execute ${inner}$\n{file.text.rstrip()}\n${inner}$;\n"
            for file in own
        ),
    }
    pieces = frame.split("@")
    return "".join(values[p] if place % 2 else p for place, p in enumerate(pieces))


def _unused_tag(tag: str, text: str) -> str:
    """A dollar-quote tag that does not occur in the text."""
    while f"${tag}$" in text:
        tag += "_"
    return tag
