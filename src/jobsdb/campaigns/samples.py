"""The sample campaigns of sql/seeds/: their files, and the jobs made from them in a database.

A campaign is one SQL file, told as a row of moments; the loader runs each as if it happened when
the file says. The id of a sample job follows from its organisation and name: it is loaded once, and
no other job is ever taken for a sample.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from jobsdb import errors, sqlfiles, wire

if TYPE_CHECKING:
    from jobsdb.connect import Connection

GENERATED = "generated"
DEMO = "demo"
LOCK_KEY = int.from_bytes(b"jobsdb", "big") + 2
"""Advisory lock (transaction level) of whoever loads or removes samples."""

_ORGANISATION = re.compile(r"^-- organisation: (\w)$", re.MULTILINE)
_MOMENT = re.compile(
    r"^-- (?:at first|(?P<gap>\d[\w ]*) later)(?:, (?:a (?P<person>person)|an agent))?: ",
    re.MULTILINE,
)
_DOES = re.compile(r"^-- does: ([\w, ]+)$", re.MULTILINE)
_COUNT = "select count(*) from public.jobs"


def sample_id(*parts: object) -> str:
    """The id that follows from a name: the same in every database."""
    text = "/".join(("jobsdb", "seed", *map(str, parts)))
    return str(UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()))


ORGANISATIONS = {letter: sample_id("organisation", letter) for letter in ("A", "B")}
"""The two sample organisations. Each is the personal one of a user with the same id."""


@dataclass(frozen=True)
class Moment:
    """Something that happens in a campaign."""

    gap: str
    """Time since the moment before, as an interval."""
    is_person: bool
    """Whether a person does it; else an agent, who is nobody."""
    file: sqlfiles.SqlFile
    does: tuple[sqlfiles.SqlFile, ...]
    """Files of sql/seeds/lib/ that run after its own."""


@dataclass(frozen=True)
class Campaign:
    """A file of sql/seeds/."""

    name: str
    sentence: str
    organisation: str
    """A or B"""
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Sample:
    """A sample job in a database: the columns of sql/seeds/lib/overview.sql."""

    id: str
    org: str
    seed: str
    part: str | None
    status: str
    tasks: int
    tasks_done: int
    tasks_error: int
    done: int
    in_review: int
    contacts: int
    sent: int
    replies: int
    next_due: str | None

    @property
    def is_ours(self) -> bool:
        """Whether jobsdb made it: others may well have a parameter called seed."""
        if self.seed == DEMO:
            return self.part is not None and self.org == sample_id(DEMO, self.part)
        parts = [self.org, self.seed] if self.part is None else [self.org, self.seed, self.part]
        return self.id == sample_id(*parts)


def campaigns() -> list[Campaign]:
    """The sample campaigns, by name."""
    return [_campaign(read(path.name)) for path in sorted(_folder().glob("*.sql"))]


def _campaign(file: sqlfiles.SqlFile) -> Campaign:
    text = file.text
    letter = _ORGANISATION.search(text)
    found = list(_MOMENT.finditer(text))
    ends = [*(moment.start() for moment in found[1:]), len(text)]
    moments = []
    for moment, end in zip(found, ends, strict=True):
        above = "\n" * text.count("\n", 0, moment.start())  # an error then names the right line
        part = above + text[moment.start() : end]
        part_file = sqlfiles.SqlFile(file.path, "present", 1, part)
        does = tuple(
            read(f"lib/{name}.sql") for names in _DOES.findall(part) for name in names.split(", ")
        )
        moments.append(Moment(moment["gap"] or "0", bool(moment["person"]), part_file, does))
    sentence = text.partition("\n")[0].removeprefix("-- ")
    return Campaign(file.stem, sentence, letter[1] if letter else "A", tuple(moments))


def read(name: str) -> sqlfiles.SqlFile:
    """A file of sql/seeds/, by its path below it."""
    text = sqlfiles.normalise((_folder() / name).read_bytes())
    return sqlfiles.SqlFile(f"seeds/{name}", "present", 1, text)


def files(folder: str) -> list[sqlfiles.SqlFile]:
    """The SQL files of a folder of sql/seeds/, by name."""
    return [read(f"{folder}/{path.name}") for path in sorted((_folder() / folder).glob("*.sql"))]


def _folder() -> Path:
    return sqlfiles.sql_root() / "seeds"


def find(conn: Connection) -> list[Sample]:
    """The sample jobs of a database, oldest first."""
    rows = conn.execute(read("lib/overview.sql").text.encode())
    return [sample for sample in (Sample(*row) for row in rows) if sample.is_ours]


def others(conn: Connection) -> int:
    """The number of jobs in a database that are no samples."""
    row = conn.execute(_COUNT).fetchone()
    return (row[0] if row else 0) - len(find(conn))


def send(conn: Connection, file: sqlfiles.SqlFile) -> None:
    """Run a file. Errors: JobsdbError with the line at which the server refused it."""
    try:
        wire.send(conn, [file])
    except wire.FileError as exc:
        raise errors.from_postgres(exc.cause, at=exc.at) from exc


@contextmanager
def transaction(conn: Connection, **values: object) -> Iterator[None]:
    """A transaction in which nobody else loads samples; the values become its settings seed.*."""
    with conn.transaction():
        conn.execute("select pg_catalog.pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        for name, value in values.items():
            set_local(conn, f"seed.{name}", value)
        yield


def set_local(conn: Connection, name: str, value: object) -> None:
    """Give a setting a value until the end of the transaction."""
    conn.execute("select pg_catalog.set_config(%s, %s, true)", (name, str(value)))
