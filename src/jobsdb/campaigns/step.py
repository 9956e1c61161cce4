"""`jobsdb seed --step`: moves the clock of the loaded samples, and what time brings happens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jobsdb import errors
from jobsdb.campaigns import samples

if TYPE_CHECKING:
    from jobsdb.campaigns.samples import Sample
    from jobsdb.connect import Connection

_IS_USABLE = "select %s::interval > '0' and %s::interval <= '100 years'"
_HINT = "Write 4d, 12h or 30m, or what PostgreSQL reads as an interval: '1 week', '36 hours'."


def check(conn: Connection, interval: str) -> None:
    """Errors: UsageError when the text is no length of time that can pass."""
    import psycopg

    sentence = f"--step {interval} is no length of time that can pass"
    if re.fullmatch(r"[\s\d.+-]*", interval):
        raise errors.UsageError(f"{sentence}: it has no unit", hint=_HINT)
    try:
        row = conn.execute(_IS_USABLE, (interval, interval)).fetchone()
    except psycopg.DataError as exc:
        raise errors.UsageError(sentence, hint=_HINT) from exc
    if row != (True,):
        raise errors.UsageError(sentence, hint="Time goes forward, by 100 years at most.")


def step(conn: Connection, found: Sequence[Sample], interval: str) -> Iterator[tuple[Sample, int]]:
    """Make samples older by an interval, each in a transaction, then plan whoever is due.

    Yields each sample with the number of tasks that were planned. Errors: JobsdbError.
    """
    for sample in found:
        with samples.transaction(conn, job=sample.id, org=sample.org, gap=interval):
            samples.send(conn, samples.read("lib/time_passes.sql"))
            cursor = conn.execute(samples.read("lib/step.sql").text.encode())
            while cursor.nextset():
                pass
            row = cursor.fetchone()
        yield sample, row[0] if row else 0
