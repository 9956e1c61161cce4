"""A storm of clients, and a witness who recounts: not one wrong number in any snapshot."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stepping import MISCOUNTED, WRONG, Stage, open_stage

CLIENTS = 10
TRANSACTIONS = 4000  # of each client, in full
JOBS = 6
SNAPSHOTS = 200

# Refusals a client may meet whose rows others change and delete meanwhile; never a deadlock.
EXPECTED = {
    "JB001",
    "JB002",
    "JB003",
    "JB011",
    "JB020",
    "JB030",
    "JB040",
    "23503",  # the job or task was deleted between the guard's look and the foreign key's
    "40001",  # an old snapshot
    "57014",  # a statement_timeout
    "25P02",  # the same, when it came right after the answer to the statement before
}
# PostgreSQL itself, when a row is taken in the moment in which another transaction that changed it
# is rolled back: one part of it believes that one aborted, another that it still runs.
NOT_OURS = "new multixact has more than one updating member"
STATUSES = ("pending", "running", "done", "error", "skipped")
STATES = ("in_review", "approved", "rejected", "done", "host's own")
# Several rows are locked in order of their ids, so that two statements never wait crosswise.
TASKS = "any(array(select id from public.job_tasks where {} order by id for {}))"
CARDS = "any(array(select id from public.kanban_cards where {} order by id for {}))"
MOVE, DELETE = "no key update", "update"


class Client:
    """One of the crowd: its own connection, its own random choices, no memory of what it did."""

    def __init__(self, storm: "Storm", number: int) -> None:
        self.storm = storm
        self.choose = random.Random(f"{storm.seed} {number}")
        self.conn = psycopg.connect(storm.stage.url, autocommit=True)
        self.outcomes: Counter[str] = Counter()
        self.ids: dict[str, Any] = {}
        self.move_cards = MOVE

    def run(self, transactions: int) -> None:
        """Run so many transactions; what is not a refusal one may meet, is told to the storm."""
        try:
            for _ in range(transactions):
                if self.storm.trouble:
                    break
                self.transaction()
        except Exception as error:
            self.storm.trouble.append(f"{type(error).__name__}: {error}")
        finally:
            self.conn.close()

    def transaction(self) -> None:
        late = self.storm.finished[-4:] if self.choose.random() < 0.1 else []
        org, job = self.choose.choice(late or self.storm.jobs)
        self.ids = {"org": org, "job": job, "other": self.choose.choice(self.storm.jobs)[1]}
        kind = self.choose.choices(
            [self.tasks, self.cards, self.mixed, self.job, self.operator], [40, 25, 20, 6, 9]
        )[0]
        level = self.choose.choices(
            ["read committed", "repeatable read", "serializable"], [85, 10, 5]
        )[0]
        outcome = "ok"
        self.move_cards = MOVE
        try:
            with self.conn.transaction(force_rollback=self.choose.random() < 0.1):
                self.conn.execute(f"set transaction isolation level {level}")
                if self.choose.random() < 0.05:
                    self.send(f"set local statement_timeout = {self.choose.randint(1, 20)}")
                kind()
        except psycopg.Error as error:
            outcome = error.sqlstate or "?"
            if outcome not in EXPECTED and NOT_OURS not in str(error):
                self.storm.trouble.append(f"{kind.__name__}: {outcome} {error}")
        self.outcomes[kind.__name__, outcome] += 1

    def act_as(self, role: str) -> None:
        sub = f', "sub": "{self.ids["org"]}"' if role == "authenticated" else ""
        self.send(
            "select set_config('role', %(role)s, true),"
            " set_config('request.jwt.claims', %(claims)s, true)",
            role=role,
            claims=f'{{"role": "{role}"{sub}}}',
        )

    def send(self, statement: str, **values: Any) -> None:
        self.conn.execute(statement, {**self.ids, **values})

    # ---------------------------------------------------------------------- what a client may send

    def tasks(self) -> None:
        """Work on the tasks of one job: one statement, of an agent or a tenant."""
        self.act_as(self.choose.choice(["authenticated", "service_role"]))
        self.choose.choice([self.move, self.move, self.move, self.move_many, self.plan])()

    def move(self) -> None:
        """Move one task, mostly as it may."""
        old, new = self.choose.choice(
            [
                ("pending", "running"),
                ("pending", "done"),
                ("running", "done"),
                ("running", "error"),
                ("running", "pending"),
                ("error", "pending"),
                ("error", "skipped"),
                (self.choose.choice(STATUSES), self.choose.choice(STATUSES)),
            ]
        )
        self.send(
            "update public.job_tasks set status = %(new)s where status = %(old)s and id = ("
            "  select id from public.job_tasks where job_id = %(job)s and status = %(old)s"
            "  order by id offset %(skip)s limit 1)",
            old=old,
            new=new,
            skip=self.choose.randint(0, 5),
        )

    def move_many(self) -> None:
        moves = ["pending running", "running done", "pending error", "error pending"]
        old, new = self.choose.choice(moves).split()
        some = "job_id = %(job)s and status = %(old)s and id %% 3 = %(third)s"
        self.send(
            f"update public.job_tasks set status = %(new)s where id = {TASKS.format(some, MOVE)}",
            old=old,
            new=new,
            third=self.choose.randint(0, 2),
        )

    def plan(self) -> None:
        steps = [next(self.storm.steps) for _ in range(self.choose.choice([1, 2, 5, 40]))]
        depends_on = self.choose.choice(["'{}'", "null", "array[%(first)s]", "earlier"])
        if depends_on == "earlier":
            depends_on = (
                "array(select t.step from public.job_tasks as t where t.job_id = %(job)s"
                " and t.step < u.step order by t.id desc limit 3)"
            )
        self.send(
            "insert into public.job_tasks (job_id, step, kind, depends_on)"
            " select %(job)s, u.step, 'research',"
            f"  case when u.step = %(first)s then '{{}}' else {depends_on}::int[] end"
            " from unnest(%(steps)s::int[]) with ordinality as u (step, place)"
            " on conflict (job_id, batch, step) do nothing",
            steps=steps + steps[:1],  # once too often: not counted
            first=steps[0],
        )

    def cards(self) -> None:
        """Show, link, decide and execute cards of one job: one statement of a tenant."""
        self.act_as("authenticated")
        self.choose.choice(
            [self.show_of_task, self.decide, self.decide, self.decide, self.link, self.hand_over]
        )()

    def show_of_task(self) -> None:
        self.show("(select min(id) from public.job_tasks where job_id = %(to)s)")

    def show(self, task: str = "null::bigint") -> None:
        self.send(
            "insert into public.kanban_cards (org_id, job_id, task_id, type, title, state)"
            f" select %(org)s, %(to)s, {task}, 'send_email', 'card ' || n, %(state)s"
            " from generate_series(1, %(count)s) as n",
            to=self.choose.choice([self.ids["job"], self.ids["job"], None]),
            state=self.choose.choice(["in_review", "in_review", "host's own"]),
            count=self.choose.choice([1, 3]),
        )

    def decide(self) -> None:
        some = "job_id = %(job)s and state = %(old)s and hashtext(id::text) %% %(part)s = 0"
        old, new = self.choose.choice(
            [
                ("in_review", "approved"),
                ("approved", "done"),
                ("in_review", "rejected"),
                (self.choose.choice(STATES), self.choose.choice(STATES)),
            ]
        )
        cards = CARDS.format(some, self.move_cards)
        self.send(
            f"update public.kanban_cards set state = %(new)s where id = {cards}",
            old=old,
            new=new,
            part=self.choose.choice([2, 5, 9]),
        )

    def link(self) -> None:
        some = "org_id = %(org)s and job_id is null and hashtext(id::text) %% 3 = %(part)s"
        cards = CARDS.format(some, self.move_cards)
        self.send(
            f"update public.kanban_cards set job_id = %(job)s where id = {cards}",
            part=self.choose.randint(0, 2),
        )

    def hand_over(self) -> None:
        some = "job_id = %(job)s and hashtext(id::text) %% 9 = %(part)s"
        self.send(
            "update public.kanban_cards set task_id = null, job_id = %(to)s"
            f" where id = {CARDS.format(some, self.move_cards)}",
            to=self.choose.choice([None, self.ids["other"]]),
            part=self.choose.randint(0, 8),
        )

    def mixed(self) -> None:
        """Several things in one transaction, some of them taken back; tasks first, then cards.

        Its tasks hold the job by then, which comes last everywhere else: so it waits for no card.
        """
        self.act_as("authenticated")
        self.move_cards = f"{MOVE} skip locked"
        parts: list[Callable[[], None]] = [self.move_many, self.plan]
        # Cards once only: what is free to one statement may be decided already in the next.
        parts += self.choose.choice([[self.decide, self.show], [self.show, self.link]])
        for part in parts:
            with suppress(psycopg.errors.RaiseException), self.conn.transaction() as inner:
                part()
                if self.choose.random() < 0.3:
                    raise psycopg.Rollback(inner)

    def job(self) -> None:
        """Move a whole job."""
        self.act_as("authenticated")
        to = self.choose.choice(
            ["running"] * 4 + ["pause", "resume"] * 3 + ["succeeded", "failed", "cancelled"]
        )
        if to in ("pause", "resume"):
            self.send(f"select public.{to}_job(%(job)s)")
        elif self.choose.random() < 0.5:
            self.send("select public.transition_job_status(%(job)s, %(to)s)", to=to)
        else:
            self.send("update public.jobs set status = %(to)s where id = %(job)s", to=to)
        if to in ("failed", "cancelled"):
            self.storm.replace(self.ids["org"], self.ids["job"])

    def operator(self) -> None:
        """Clean up: delete tasks, cards and jobs, refresh, finish closed jobs off."""
        self.act_as("service_role")
        what = self.choose.choices(
            ["tasks", "cards", "job", "refresh", "finish"], [10, 8, 2, 3, 3]
        )[0]
        part = self.choose.randint(0, 9)
        if what == "tasks":
            some = "job_id = %(job)s and id %% 10 = %(part)s"
            tasks = TASKS.format(some, DELETE)
            # Cards lose their task with it: they are locked in order as well.
            self.send(
                "select from public.kanban_cards"
                f" where task_id = {tasks} order by id for no key update",
                part=part,
            )
            self.send(f"delete from public.job_tasks where id = {tasks}", part=part)
        elif what == "cards":
            some = "org_id = %(org)s and hashtext(id::text) %% 30 = %(part)s"
            self.send(
                f"delete from public.kanban_cards where id = {CARDS.format(some, DELETE)}",
                part=part,
            )
        elif what == "job":
            self.delete_job()
        elif what == "refresh":
            self.send("select public.refresh_job_metrics()")
        else:
            rows = self.choose.choice([1, 99])
            self.send("select jobsdb.finish_closed_jobs(%(rows)s)", rows=rows)

    def delete_job(self) -> None:
        """Delete the job that was finished longest ago, when nobody works on it any more.

        Who adds a card to a task holds the job and asks for the task, who deletes holds the task
        and asks for the job, or the other way round: tests/test_races.py has such pairs.
        """
        with self.storm.lock:
            _, job = self.storm.finished.pop(0) if len(self.storm.finished) > 9 else (None, None)
        if job:
            self.send("delete from public.jobs where id = %(old)s", old=job)


class Storm:
    """The crowd, the jobs it works on, and what went wrong."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.seed = seed
        self.steps = itertools.count(1)
        self.trouble: list[str] = []
        self.orgs = [uuid4(), uuid4()]
        self.jobs: list[tuple[UUID, UUID]] = []
        self.finished: list[tuple[UUID, UUID]] = []
        self.lock = threading.Lock()
        for number in range(JOBS):
            self.jobs.append(self.new_job(self.orgs[number % 2]))

    def new_job(self, org: UUID) -> tuple[UUID, UUID]:
        with self.lock, psycopg.connect(self.stage.url) as conn:
            insert = "insert into public.jobs (org_id, name) values (%s, 'stormy') returning id"
            job = conn.execute(insert, [org]).fetchone()[0]
            conn.execute("select public.transition_job_status(%s, 'running')", [job])
        return org, job

    def replace(self, org: UUID, job: UUID) -> None:
        """Let the clients go on with a new job; a few still mean the old one."""
        with suppress(ValueError):
            self.jobs[self.jobs.index((org, job))] = self.new_job(org)
            self.finished.append((org, job))

    def miscounted_for(self, org: UUID) -> list[str]:
        """Return what a tenant would see wrong, in one snapshot of his own."""
        with self.stage.witness.transaction():
            self.stage.witness.execute("set local role authenticated")
            claims = f'{{"role": "authenticated", "sub": "{org}"}}'
            set_claims = "select set_config('request.jwt.claims', %s, true)"
            self.stage.witness.execute(set_claims, [claims])
            return [row[0] for row in self.stage.witness.execute(MISCOUNTED)]

    def rage(self, clients: int, transactions: int) -> tuple[Counter[str], int]:
        """Let the clients loose and recount all the while; return outcomes and snapshots taken."""
        crowd = [Client(self, number) for number in range(clients)]
        threads = [threading.Thread(target=c.run, args=[transactions]) for c in crowd]
        for thread in threads:
            thread.start()
        snapshots = 0
        while not self.trouble and (
            snapshots < SNAPSHOTS or any(thread.is_alive() for thread in threads)
        ):
            if snapshots % 4 == 3:
                self.trouble += self.miscounted_for(self.orgs[snapshots % 2])
            else:
                with self.stage.witness.transaction():
                    self.trouble += [row[0] for row in self.stage.witness.execute(WRONG)]
            snapshots += 1
        for thread in threads:
            thread.join()
        return sum((c.outcomes for c in crowd), Counter()), snapshots


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


def test_a_storm_of_plain_sql_miscounts_nothing(stage: Stage, scale: float, seed: int) -> None:
    storm = Storm(stage, seed)
    outcomes, snapshots = storm.rage(CLIENTS, int(TRANSACTIONS * scale))
    for (kind, outcome), times in sorted(outcomes.items()):
        print(f"{times:6} {kind} {outcome}")
    assert not storm.trouble, "\n".join(storm.trouble[:10])
    stage.rest()
    assert snapshots >= SNAPSHOTS
    done = sum(times for (_, outcome), times in outcomes.items() if outcome == "ok")
    assert done > 0.6 * outcomes.total(), "most of it must do something"
