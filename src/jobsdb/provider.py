"""A provider of e-mail, for the demo: it accepts, bounces, replies, and kills who talks to it.

It knows nothing of the database: its journal is an independent witness of what was really sent.
Nothing is left to chance: the same campaign meets the same fate every time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

GATE = "before the gate"
PROVIDER = "between gate and provider"
ANSWER = "after the provider has taken it"

_CRASHES = {
    ("cem.roth", 0): GATE,
    ("emil.lund", 0): PROVIDER,
    ("hana.aydin", 0): ANSWER,
    ("dora.aydin", 1): PROVIDER,
    ("fay.hill", 1): ANSWER,
}
"""Where a sender dies with somebody's first (0) or second e-mail in hand."""

_FATES = {
    ("bea.moss", 0): [(0, "bounce_hard")],
    ("cem.moss", 0): [(0, "bounce_soft"), (1, "delivered")],
    ("dora.moss", 0): [(0, "delivered"), (0, "auto_reply")],
    ("emil.moss", 0): [(0, "delivered"), (0, "open_human"), (0, "reply")],
    ("fay.lund", 0): [(0, "delivered"), (2, "open_human"), (2, "reply")],
    ("ada.hill", 0): [(0, "delivered"), (4, "reply")],
    ("bea.lund", 0): [(0, "delivered"), (4, "unsubscribe")],
    ("hana.roth", 1): [(0, "delivered"), (1, "open_human"), (1, "click"), (1, "reply")],
}
"""What becomes of somebody's first or second e-mail, and how many days later."""
_USUALLY = [(0, "delivered"), (0, "open_machine")], [(0, "delivered"), (1, "open_human")]


class Died(Exception):
    """A sender is gone; whatever it had in hand stays as it is."""


@dataclass(frozen=True)
class Report:
    """What a provider tells about an e-mail; the same id again is the same report again."""

    provider: str
    send: int
    event_id: str
    event: str
    recipient: str
    day: int


@dataclass
class Provider:
    """Keeps what it accepted and reported in its journal, in order; `day` is told from outside."""

    journal: list[dict[str, object]] = field(default_factory=list)
    day: int = 0
    _crashes: dict[tuple[str, int], str] = field(default_factory=lambda: dict(_CRASHES))
    _reports: list[Report] = field(default_factory=list)

    @property
    def name(self) -> str:
        """On day 4 a relay stands in for the courier."""
        return "relay" if self.day == 4 else "courier"

    @property
    def knows_repeats(self) -> bool:
        """Whether it recognises a key it has seen."""
        return self.name == "courier"

    def look(self, point: str, recipient: str) -> None:
        """A sender comes by a point. Errors: Died, when it gets no further."""
        who = recipient.partition("@")[0], self._accepted(recipient) - (point == ANSWER)
        if self._crashes.get(who) == point:
            del self._crashes[who]
            raise Died(point)

    def send(self, number: int, key: str, recipient: str, subject: str, body: str) -> str:
        """Accept an e-mail, once where the key is recognised; returns the id of the message.

        `number` is the sender's own, which reports will name.
        """
        message = f"msg_{key[:20]}"
        if self.knows_repeats and self.has(key):
            return message
        who = recipient.partition("@")[0], self._accepted(recipient)
        for days, event in _FATES.get(who, _USUALLY[len(recipient) % 2]):
            event_id = f"evt_{key[:20]}_{event}"
            report = Report(self.name, number, event_id, event, recipient, self.day + days)
            self._reports.append(report)
        self._write("accepted", recipient, subject=subject, body=body, key=key)
        return message

    def has(self, key: str) -> bool:
        """Whether an e-mail with this key was accepted."""
        return any(entry.get("key") == key for entry in self.journal)

    def reports(self) -> list[Report]:
        """What has happened up to today and was not told yet; every fifth is told twice."""
        due = [report for report in self._reports if report.day <= self.day]
        self._reports = [report for report in self._reports if report.day > self.day]
        for report in due:
            self._write(report.event, report.recipient)
        return due + due[::5]

    def _accepted(self, recipient: str) -> int:
        return sum((e["what"], e["recipient"]) == ("accepted", recipient) for e in self.journal)

    def _write(self, what: str, recipient: str, **more: object) -> None:
        self.journal.append({"what": what, "recipient": recipient, **more})
