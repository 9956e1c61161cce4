"""A provider of e-mail, for the demo: it accepts, bounces, replies, and kills who talks to it.

It knows nothing of the database: its journal is an independent witness of what was really sent.
Nothing is left to chance: the same campaign meets the same fate every time.
"""

from __future__ import annotations

from typing import Any

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
_CLOSING = {10: ["lund.example"]}
"""The day on which domains let it know that they want no more e-mail."""


class Died(Exception):
    """A sender is gone; whatever it had in hand stays as it is."""


class Provider:
    """Keeps what it accepted and reported in its journal, in order; `day` is told from outside."""

    def __init__(self) -> None:
        self.day = 0
        self.journal: list[dict[str, Any]] = []
        self._crashes = dict(_CRASHES)
        self._reports: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """On day 4 a relay stands in for the courier, and does not recognise repeats."""
        return "relay" if self.day == 4 else "courier"

    def look(self, point: str, recipient: str) -> None:
        """A sender comes by a point. Errors: Died, when it gets no further."""
        who = recipient.partition("@")[0], self._accepted(recipient) - (point == ANSWER)
        if self._crashes.get(who) == point:
            del self._crashes[who]
            raise Died(point)

    def send(self, send: int, key: str, recipient: str, subject: str, body: str) -> str:
        """Accept an e-mail, the sender's number of which reports will name; returns its id."""
        message = f"msg_{key[:20]}"
        if self.name == "courier" and self.has(key):
            return message
        who = recipient.partition("@")[0], self._accepted(recipient)
        mail = {"recipient": recipient, "subject": subject, "body": body, "key": key}
        self.journal.append({"what": "accepted", **mail})
        for days, event in _FATES.get(who, _USUALLY[len(recipient) % 2]):
            report = {"send": send, "event": event, "event_id": f"evt_{key[:20]}_{event}"}
            report |= {"provider": self.name, "recipient": recipient, "day": self.day + days}
            self._reports.append(report)
        return message

    def has(self, key: str) -> bool:
        """Whether an e-mail with this key was accepted."""
        return any(entry.get("key") == key for entry in self.journal)

    def reports(self) -> list[dict[str, Any]]:
        """What has become of e-mails up to today and was not told yet; every fifth twice."""
        due = [report for report in self._reports if report["day"] <= self.day]
        self._reports = [report for report in self._reports if report["day"] > self.day]
        self.journal += [{"what": r["event"], "recipient": r["recipient"]} for r in due]
        return due + due[::5]

    def closed(self) -> list[str]:
        """The domains that want no more e-mail since today."""
        told = [{"what": "closed", "recipient": domain} for domain in _CLOSING.get(self.day, ())]
        new = [entry for entry in told if entry not in self.journal]
        self.journal += new
        return [entry["recipient"] for entry in new]

    def _accepted(self, recipient: str) -> int:
        return sum((e["what"], e["recipient"]) == ("accepted", recipient) for e in self.journal)
