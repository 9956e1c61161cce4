"""`jobsdb demo`: plays a campaign of ten days on a real database, in seconds, and proves it right.

What its person and its agents send is SQL, in sql/seeds/demo/. Here the days go by, and a provider
of e-mail that crashes, bounces and replies (jobsdb.campaigns.provider) stands at the other end.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jobsdb import connect, errors, render
from jobsdb.campaigns import samples, seed
from jobsdb.campaigns.provider import ANSWER, GATE, PROVIDER, Died, Provider
from jobsdb.campaigns.stage import Stage, steps
from jobsdb.deploy import migrate
from jobsdb.errors import Exit

if TYPE_CHECKING:
    from jobsdb.connect import Connection

DAYS = 12
"""Day 0 to day 11: whose first e-mail is drafted anew begins a day after the others."""

WRONGS = 5
"""Of what is wrong with a claim, no more is shown."""
_SOURCE = "select s.relation from jobsdb.contact_source as s"


def run(database: str | None) -> int:
    """Migrate, load the sample campaigns, play the demo, prove it, verify. Returns an exit code.

    Without `database` (an address) on the embedded PostgreSQL. Every run makes a new job, with an
    organisation and people of its own. Errors: JobsdbError.
    """
    import psycopg

    from jobsdb.check import verify

    target = connect.choose(database, "flag")
    with render.Steps() as migration:
        migrate.migrate(target, progress=migration.show)
    with connect.connect(target) as conn:
        try:
            _ensure_people(conn)
            _load_samples(conn, anyway=target.source == "embedded")
            if not play(conn).prove():
                return Exit.NO
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
    render.out("\nIs the database what it should be? jobsdb verify:\n")
    if code := verify.run(target.conninfo, (), False, False, "brief"):
        return code
    render.out("\nRead what was sent: sql/seeds/demo/. Go on: jobsdb seed, jobsdb status.")
    return Exit.DONE


def _ensure_people(conn: Connection) -> None:
    """Errors: Refused where contacts are read from a table of the host's."""
    if row := conn.execute(_SOURCE).fetchone():
        raise errors.Refused(
            "the demo brings its own people, and this database reads its contacts elsewhere",
            detail=f"jobsdb.bind_host_contacts has bound {row[0]}.",
            hint="Play in a scratch database: jobsdb demo, without -d, makes one.",
        )


def _load_samples(conn: Connection, *, anyway: bool) -> None:
    """The sample campaigns, but not into a database in which somebody works."""
    if not anyway and samples.others(conn):
        return
    if loaded := seed.load(conn, samples.campaigns()):
        render.say(f"  + {loaded} sample campaigns loaded; see them with jobsdb seed")


def play(conn: Connection) -> Play:
    """Play a campaign from its creation to its end, and draw it. Errors: JobsdbError."""
    played = Play(conn)
    render.out("\nA campaign of ten days, in the SQL its person and its agents send:\n")
    for step in steps("1_before"):
        played.stage.run(step)
    with render.live(DAYS) as move:
        for day in range(DAYS):
            played.stage.move = partial(move, day, f"day {day}")
            played.day(day)
    for step in steps("3_after"):
        if "proves" not in step.header:
            played.stage.run(step)
    return played


class Play:
    """One run of the demo: its stage, its provider, its days."""

    def __init__(self, conn: Connection) -> None:
        run = uuid4().hex[:8]
        self.stage = Stage(conn, samples.sample_id(samples.DEMO, run), {"run": run})
        self.provider = Provider()
        self._steps = {step.name: step for step in steps("2_every_day")}

    def _run(self, name: str, **values: object) -> list[dict[str, Any]]:
        return self.stage.run(self._steps[name], **values)

    def day(self, day: int) -> None:
        """A day: what is due is planned and drafted, decided on, sent, and answered."""
        self.provider.day = day
        while self._run("plan"):
            pass
        while tasks := self._run("take_drafts"):
            for task in tasks:
                self._run("draft", **task)
        if day == 0:
            self._run("approve_own")
        self._run("edit")
        self._run("review")
        while sends := self._run("take_sends"):
            self._hear()  # who answers now is in the sender's hands already
            self._send(sends)
        self._hear()
        self._run("tick")
        self.stage.end_day(day)
        if day < DAYS - 1:
            self.stage.pass_time("1 day")

    def _send(self, sends: list[dict[str, Any]]) -> None:
        """A sender sends what it has claimed, as far as it lives."""
        for send in sends:
            try:
                self._send_one(**send)
            except Died as death:
                self.stage.count("sends", "crashed")
                self.stage.note(f"a sender dies {death}: {send['recipient']}")
                self.stage.pass_time("1 hour")
                self._run("tick")
                in_doubt = [row["send"] for row in self._run("doubt")]
                for held in sends:
                    if held["send"] in in_doubt:
                        self._decide(**held)
                return

    def _send_one(self, send: int, key: str, lease: str, recipient: str) -> None:
        """Ask the gate, then the provider, then say what came of it. Errors: Died."""
        provider = self.provider
        provider.look(GATE, recipient)
        held = {"send": send, "lease": lease}
        (gate,) = self._run("ask_the_gate", provider=provider.name, **held)
        if gate.pop("verdict") != "ok":
            self.stage.count("sends", "held back")
            return
        provider.look(PROVIDER, recipient)
        if provider.has(key):
            self.stage.count("sends", "recognised")
        message = provider.send(send, **gate)
        provider.look(ANSWER, recipient)
        self._run("settle", provider=provider.name, message=message, **held)

    def _decide(self, send: int, key: str, recipient: str, **_: object) -> None:
        """The person asks the provider whether it has the e-mail of a sender that has died."""
        has = self.provider.has(key)
        decision = "delivered" if has else "resend"
        self._run("resolve", send=send, decision=decision)
        knows = "has" if has else "has never seen"
        self.stage.note(f"the {self.provider.name} {knows} that to {recipient}: {decision}")

    def _hear(self) -> None:
        for report in self.provider.reports():
            self._run("hear", **report)
        for domain in self.provider.closed():
            self._run("close", domain=domain)

    def prove(self) -> bool:
        """Hold the provider's journal against the database; says and returns whether it fits."""
        journal = json.dumps(self.provider.journal)
        proofs = [step for step in steps("3_after") if "proves" in step.header]
        found = [row for step in proofs for row in self.stage.run(step, journal=journal)]
        render.out()
        for row in found:
            sign, style = ("✗", "FAIL") if row["wrong"] else ("✓", "ok")
            render.out(f"  {sign} {row['sentence']}", style)
            for wrong in (row["wrong"] or ())[:WRONGS]:
                render.out(f"    {wrong}", style)
        return not any(row["wrong"] for row in found)
