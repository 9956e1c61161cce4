"""What `jobsdb watch` prints where nothing can move: a line per event, as text or as JSON.

A line also tells how a job stands when it is first seen, and when it has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobsdb import render
from jobsdb.deploy.blockers import duration

if TYPE_CHECKING:
    from jobsdb.watching.reading import Row
    from jobsdb.watching.watch import Look

VERSION = 1
"""Of the JSON lines; counts incompatible changes."""
WIDTH = 80
WHAT_WIDTH = 36
WHO_WIDTH = 12
LEAST_OF_A_NAME = 16
UUID_LENGTH = 36
GONE = "gone: deleted, or no longer yours"


class Lines:
    """For people and logs: at most WIDTH columns, times of this machine, ids cut short."""

    def __init__(self) -> None:
        self._told: dict[str, bool] = {}
        """Jobs of which a line was printed, and whether that was their end."""
        self._day: date | None = None

    def wants(self, jobs: Sequence[Row]) -> list[str]:
        """The ids of the jobs that are new or have just ended."""
        return [row["id"] for row in jobs if self._told.get(row["id"]) != row["has_ended"]]

    def show(self, look: Look) -> None:
        """Print what happened, then how the jobs stand that are new or have ended."""
        if not look.is_first:
            for event in look.events:
                self.event(event)
        wanted = self.wants(look.jobs)
        metrics = {row["id"]: row for row in look.metrics}
        for job in look.jobs:
            if job["id"] in wanted:
                self.job(metrics.get(job["id"]), job)
                self._told[job["id"]] = job["has_ended"]

    def event(self, event: Row) -> None:
        """The line of an event; before the first of a day, the day."""
        at: datetime = event["at"].astimezone()
        if at.date() != self._day:
            self._day = at.date()
            render.out(f"{at:%A, %Y-%m-%d}")
        render.out(cut(f"{at:%H:%M:%S}  {tell(event)}  {event['name']}"))

    def job(self, metrics: Row | None, job: Row) -> None:
        """The line of a job."""
        said = ", ".join([metrics["status"], *facts(metrics)]) if metrics else GONE
        name = cut(job["name"], max(WIDTH - len(said) - 2, LEAST_OF_A_NAME))
        render.out(cut(f"{name}: {said}"))

    def say(self, text: str, style: str | None = None) -> None:
        """A line of talk."""
        render.say(text, style)

    def end(self, look: Look | None, reason: str) -> None:
        """Say what has become of the jobs, as far as it was not said before."""
        for line in verdict(look, reason):
            self.say(line)


class Documents(Lines):
    """For programs: each line a JSON object with `version` and `type`: job, event or end."""

    def event(self, event: Row) -> None:
        """The object of an event."""
        _print(
            "event",
            {name: event[name] for name in ("job", "name", "what", "who", "at")}
            | {"entity": event["entity"], "id": event["entity_id"]},
        )

    def job(self, metrics: Row | None, job: Row) -> None:
        """The object of a job: its metrics, or that it is gone."""
        _print("job", metrics or {"id": job["id"], "name": job["name"], "status": "gone"})

    def end(self, look: Look | None, reason: str) -> None:
        """The object that ends the stream."""
        numbers = {"jobs": 0, "succeeded": 0, "open": 0}
        if look:
            numbers = {"jobs": len(look.jobs), "succeeded": look.succeeded, "open": look.still_open}
        _print("end", {"reason": reason, **numbers})


def _print(kind: str, value: Mapping[str, Any]) -> None:
    line = {"version": VERSION, "type": kind} | dict(value)
    text = json.dumps(line, ensure_ascii=False, default=_plain)
    # What a terminal might obey is escaped, not replaced: programs get what is there.
    render.out(text if text.isprintable() else json.dumps(line, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def tell(event: Row) -> str:
    """What happened and who did it, in columns: `card fd8913c7 in_review → approved`."""
    entity, _, move = event["what"].partition(" ")
    what = f"{entity} {_short(event['entity_id'])} {move}"
    return f"{render.clean(what):<{WHAT_WIDTH}}  {_short(event['who']):<{WHO_WIDTH}}"


def facts(row: Row) -> Iterator[str]:
    """What is worth knowing of a job in a line."""
    tasks, cards, sends = row["tasks"], row["cards"], row["sends"]
    yield f"{tasks['done']:,} of {tasks['total']:,} tasks"
    if tasks["error"]:
        yield f"{tasks['error']:,} in error"
    if cards["in_review"]:
        yield f"{cards['in_review']:,} to review"
    yield from counted(sends, "sent", "failed", "unknown")
    if due := until(row["next_due_at"], row["at"]):
        yield f"next {due}"


def counted(numbers: Mapping[str, int | None], *words: str) -> Iterator[str]:
    """`40 sent`, `2 queued` ...: those that are not 0; without words, all."""
    for word in words or numbers:
        if number := numbers[word]:
            yield f"{number:,} {word.replace('_', ' ')}"


def until(due_at: datetime | None, now: datetime) -> str | None:
    """`now`, or `in 3 h`."""
    if due_at is None:
        return None
    return "now" if due_at <= now else f"in {brief(due_at - now)}"


def brief(length: timedelta) -> str:
    """A length of time in one number: `41 s`, `3 min`, `2 h`, `4 days`."""
    return " ".join(duration(length).split()[:2])


def verdict(look: Look | None, reason: str) -> Iterator[str]:
    """How it ended, for people."""
    if look is None:
        yield "Time is up."
    elif reason == "timeout":
        yield f"Time is up, and {look.still_open} of {len(look.jobs)} watched jobs have not ended."
    elif not look.jobs:
        yield "No job is open."
    elif len(look.jobs) > 1:
        yield f"{len(look.jobs)} jobs have ended, {look.succeeded} of them well."


def cut(text: str, width: int = WIDTH) -> str:
    """The text on one line of at most this width."""
    text = text.replace("\n", " ")
    return text.rstrip() if len(text) <= width else f"{text[: width - 1]}…"


def _short(id_: str) -> str:
    """A UUID by its first eight digits; anything else as it is."""
    return id_[:8] if len(id_) == UUID_LENGTH and id_.count("-") == 4 else id_
