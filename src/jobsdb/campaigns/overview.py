"""How the samples stand in a database, as a table, and what to try next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from jobsdb import render
from jobsdb.campaigns import samples
from jobsdb.campaigns.samples import DEMO, GENERATED, ORGANISATIONS, Sample

if TYPE_CHECKING:
    from jobsdb.connect import Connection


def show(conn: Connection, org: str | None) -> None:
    """What is loaded, and what to try next."""
    known = {sample.seed: sample.id for sample in table(conn, org)}
    for letter, id_ in ORGANISATIONS.items():
        known[letter] = org or id_
        if org is None:
            render.out(f"  organisation {letter}  {id_}")
    render.out("\nTo try next, in psql or any SQL editor:\n")
    render.out(next_queries(known))


def table(conn: Connection, org: str | None) -> list[Sample]:
    """How the samples stand; returns them."""
    letters = {id_: letter for letter, id_ in ORGANISATIONS.items()}
    mine = [s for s in samples.find(conn) if _is_shown(s, org)]
    mine.sort(key=lambda sample: (sample.seed in (GENERATED, DEMO), sample.seed))
    rows = [
        _row(name, "own" if name == DEMO else letters.get(org or jobs[0].org, "yours"), jobs)
        for name, group in groupby(mine, key=lambda sample: sample.seed)
        if (jobs := list(group))
    ]
    heads = ("campaign", "org", "status", "contacts", "review", "sent", "replies", "next due")
    render.table(heads, rows, right=heads[3:7])
    render.out()
    return mine


def _is_shown(sample: Sample, org: str | None) -> bool:
    """Whether it is of this organisation; without one, of the samples' own."""
    if org is not None:
        return sample.org == org
    return sample.seed == DEMO or sample.org in ORGANISATIONS.values()


def _row(name: str, where: str, jobs: Sequence[Sample]) -> tuple[object, ...]:
    """A line of the table: one job, or all those generated or played."""
    if name == GENERATED:
        name = f"{name}, {sum(s.tasks for s in jobs):,} tasks"
    elif len(jobs) > 1:
        name = f"{name} ({len(jobs)} jobs)"
    return (
        name,
        where,
        ", ".join(sorted({s.status for s in jobs})),
        sum(s.contacts for s in jobs),
        sum(s.in_review for s in jobs),
        sum(s.sent for s in jobs),
        sum(s.replies for s in jobs),
        min((s.next_due for s in jobs if s.next_due), default=None),
    )


def next_queries(known: dict[str, str]) -> str:
    """What to try next, as SQL to paste; what needs a campaign that is not loaded is left out."""
    text = samples.read("lib/next.sql").text.strip()
    for name, id_ in known.items():
        text = text.replace(f"{{{name}}}", id_)
    return "\n\n".join(block for block in text.split("\n\n") if not re.search(r"\{[\w-]+\}", block))
