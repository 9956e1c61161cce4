"""Workers in a crowd, killed workers, killed servers: nothing lost, nothing twice, all counted.

Everybody keeps a history of what he was told, apart from the database, and the histories are
compared with each other and with the rows.
"""

import itertools
import math
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import hypothesis
import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from psycopg.types.json import Jsonb

import test_counters
import test_migrate
from helpers import BINDIR
from jobsdb import local
from jobsdb.check import verify
from jobsdb.deploy.migrate import migrate
from stepping import WRONG, WRONG_AT_REST, Stage, open_stage

WORKERS, CLIENTS, SNAPSHOTS = 12, 4, 200
STEPS = 1500  # of each worker, in full
KINDS = ("research", "follow_up", "draft_email")
BATCHES = (1, 3, 10)
UNKNOWN = 999_999_999
TOO_LONG = 60
GRANTED = ("ok", "paused")
LEAST = {"claimed", "completed", "failed", "released", "revoked", "cancelled", "paused", "fenced"}

# Failed tasks come back at once.
HASTE = "update jobsdb.task_kinds set backoff = '5 ms', backoff_limit = '50 ms'"
MISCOUNTED = WRONG_AT_REST.partition("union all")[0]  # the columns of jobs
ROWS = "select id, status::text, attempt, output from public.job_tasks"
# A task that runs is named by the row of its lease, in any snapshot; nobody else has a lease.
UNLEASED = """
select format('task %s is %s with the lease %s', t.id, t.status, t.lease_token)
from public.job_tasks as t
where (t.status = 'running') <> exists (
  select from jobsdb.leases as l
  where l.job_id = t.job_id and l.token = t.lease_token and t.id = any(l.task_ids)
)
"""


@dataclass
class Hold:
    """A task in the hands of a worker: what he asked, when, and what he was told."""

    task: int
    job: UUID
    attempt: int
    token: UUID
    asked: float
    got: float
    until: float
    """The lease does not end before this."""
    ended: float = math.inf
    """When he first asked for its end and was not refused."""
    obeyed: float = -math.inf
    """When he last asked for something and it was granted."""
    output: dict[str, int] | None = None
    done: bool = False


@dataclass
class Taken:
    """A task that plain SQL has changed, between these times."""

    task: int
    began: float
    ended: float


class Worker:
    """A worker with its own connection, its own random choices and its own history."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self.crowd = crowd
        self.number = number
        self.choose = random.Random(f"{crowd.seed} worker {number}")
        self.conn = crowd.connect()
        self.history: list[Hold] = []
        self.past: list[Hold] = []
        self.held: dict[UUID, list[Hold]] = {}
        self.outcomes: Counter[str] = Counter()
        self.forgets = number % 4 == 3
        self.leases = [0.03, 0.1, 0.3, 60.0] if number % 3 == 0 else [60.0]
        if crowd.kills:
            self.leases = [0.05, 0.3, 1.0]
        self.sent = 0

    def run(self) -> None:
        """Work until the crowd is called off, then finish what is held, until nothing is left."""
        try:
            while not self.crowd.calm.is_set() and not self.crowd.trouble:
                if self.crowd.turn(self.number):
                    self.step()
            while not self.crowd.trouble:
                for token in list(self.held):
                    self.complete(token, self.held[token])
                over = self.crowd.over.is_set()
                if not self.claim(10, None, None, 60.0):
                    if over:
                        break
                    time.sleep(0.01)
        except Exception as error:
            self.crowd.trouble.append(f"worker: {type(error).__name__}: {error}")
        finally:
            self.conn.close()

    def ask(self, statement: str, **values: Any) -> list[tuple[Any, ...]] | None:
        """Send one call; None: it has come to nothing, or the server has died and nobody knows."""
        try:
            return self.conn.execute(statement, values).fetchall()
        except psycopg.OperationalError as error:
            self.lose(error)
        except psycopg.errors.InternalError_ as error:
            if test_counters.NOT_OURS not in str(error):
                raise
            self.outcomes["hit by a defect of PostgreSQL"] += 1
        return None

    def lose(self, error: psycopg.OperationalError) -> None:
        """Go on with another connection; the forgetful then no longer know what they hold."""
        if not self.crowd.kills or error.sqlstate in ("40P01", "55P03", "57014"):
            raise error
        self.outcomes["lost answers"] += 1
        self.conn.close()
        self.conn = self.crowd.connect()
        if self.forgets:
            self.held.clear()

    # ------------------------------------------------------------------------- what a worker calls

    def step(self) -> None:
        some = self.choose.choice
        if self.choose.random() < 0.05:
            self.meddle()
        if not self.held or self.choose.random() < 0.1:
            if not self.claim(*self.wish()):
                self.plan()
            return
        token = some(list(self.held))
        holds = self.choose.sample(self.held[token], self.choose.randint(1, len(self.held[token])))
        what = self.choose.choices(
            [self.complete, self.complete_and_claim, self.heartbeat, self.fail, self.release],
            [35, 35, 10, 8, 8],
        )[0]
        if self.choose.random() < 0.1:
            self.on_behalf(holds[0])
        if self.choose.random() < 0.05:
            time.sleep(some([0.01, 0.05]))  # some leases end meanwhile
        what(token, holds)

    def wish(self) -> tuple[int, list[str] | None, UUID | None, float]:
        some = self.choose.choice
        kinds = some([None, None, [some(KINDS)], list(KINDS[:2])])
        return some(BATCHES), kinds, some([None, None, *self.crowd.orgs]), some(self.leases)

    def claim(self, count: int, kinds: list[str] | None, org: UUID | None, lease: float) -> bool:
        asked = time.time()
        rows = self.ask(
            "select id, job_id, attempt, lease_token, lease_expires_at, verdicts"
            " from public.claim_tasks("
            " %(me)s, %(count)s, %(kinds)s::text[], %(org)s::uuid,"
            " %(lease)s * interval '1 second')",
            me=f"worker {self.number}",
            count=count,
            kinds=kinds,
            org=org,
            lease=lease,
        )
        return self.take(rows or [], asked, count)

    def complete_and_claim(self, token: UUID, holds: list[Hold]) -> None:
        count, kinds, org, lease = self.wish()
        self.write_outputs(holds)
        asked = time.time()
        rows = self.ask(
            "select id, job_id, attempt, lease_token, lease_expires_at, verdicts"
            " from public.complete_and_claim(%(ids)s, %(token)s, %(outputs)s, %(me)s, %(count)s,"
            " %(kinds)s::text[], %(org)s::uuid, %(lease)s * interval '1 second')",
            ids=[h.task for h in holds],
            token=token,
            outputs=[Jsonb(h.output) for h in holds],
            me=f"worker {self.number}",
            count=count,
            kinds=kinds,
            org=org,
            lease=lease,
        )
        self.told("completed", holds, rows[0][-1] if rows else None, asked)
        self.take([row for row in rows or [] if row[0] is not None], asked, count)

    def take(self, rows: list[tuple[Any, ...]], asked: float, count: int) -> bool:
        """Note what was claimed."""
        got = time.time()
        self.outcomes["claimed"] += len(rows)
        if len(rows) > count or len({row[3] for row in rows}) > 1:
            self.crowd.trouble.append(f"{len(rows)} tasks, or several tokens, for {count}")
        for task, job, attempt, token, until, _ in rows:
            hold = Hold(task, job, attempt, token, asked, got, until.timestamp())
            self.history.append(hold)
            self.held.setdefault(token, []).append(hold)
        return bool(rows)

    def write_outputs(self, holds: list[Hold]) -> None:
        for hold in holds:
            if hold.output is None:
                self.sent += 1
                hold.output = {"worker": self.number, "result": self.sent}

    def complete(self, token: UUID, holds: list[Hold]) -> None:
        self.write_outputs(holds)
        self.call(
            "completed",
            "select public.complete_tasks(%(ids)s, %(token)s, %(outputs)s)",
            holds,
            token,
            outputs=[*(Jsonb(h.output) for h in holds), None],
        )

    def fail(self, token: UUID, holds: list[Hold]) -> None:
        self.call(
            "failed",
            "select public.fail_tasks(%(ids)s, %(token)s, %(errors)s, %(again)s)",
            holds,
            token,
            errors=[*("no luck" for _ in holds), None],
            again=self.crowd.does_all or self.choose.random() < 0.8,
        )

    def release(self, token: UUID, holds: list[Hold]) -> None:
        statement = "select public.release_tasks(%(ids)s, %(token)s)"
        self.call("released", statement, holds, token)

    def heartbeat(self, token: UUID, holds: list[Hold]) -> None:
        lease = self.choose.choice(self.leases)
        statement = (
            "select public.heartbeat_tasks(%(ids)s, %(token)s, %(lease)s * interval '1 second')"
        )
        self.call("kept", statement, holds, token, lease=lease)

    def call(self, done: str, statement: str, holds: list[Hold], token: UUID, **more: Any) -> None:
        """Send a call for some tasks and for one that does not exist."""
        asked = time.time()
        ids = [*(h.task for h in holds), UNKNOWN]
        rows = self.ask(statement, ids=ids, token=token, **more)
        verdicts = rows[0][0] if rows else None
        if verdicts and verdicts.pop() != "not_found":
            self.crowd.trouble.append(f"a task that does not exist was {done}: {verdicts}")
        self.told(done, holds, verdicts, asked, more.get("lease"))

    def told(
        self,
        done: str,
        holds: list[Hold],
        verdicts: list[str] | None,
        asked: float,
        lease: float | None = None,
    ) -> None:
        """Note the verdicts; what is done with or lost is held no more."""
        if verdicts is not None and len(verdicts) != len(holds):
            self.crowd.trouble.append(f"{done}: {verdicts} for {len(holds)} tasks")
            return
        for hold, verdict in zip(holds, verdicts or itertools.repeat(""), strict=False):
            granted = verdict in GRANTED
            self.outcomes[done if granted else verdict or "unknown"] += 1
            self.outcomes["paused"] += verdict == "paused"
            if granted:
                hold.obeyed = asked
            if lease is not None and (granted or not verdict):
                hold.until = asked + lease if granted else min(hold.until, asked + lease)
            if lease is None and (granted or not verdict):
                hold.ended = min(hold.ended, asked)
            hold.done = hold.done or (granted and done == "completed")
            if (verdict and not granted) or (granted and lease is None):
                self.drop(hold)

    def drop(self, hold: Hold) -> None:
        self.past = [*self.past[-20:], hold]
        left = [h for h in self.held.get(hold.token, []) if h is not hold]
        self.held[hold.token] = left
        if not left:
            del self.held[hold.token]

    def meddle(self) -> None:
        """Call for tasks that are not held any more, or by somebody else: always refused."""
        others = [h for other in self.crowd.workers for h in list(other.history[-5:])]
        foreign = self.choose.random() < 0.5
        if not (holds := others if foreign else self.past):
            return
        hold = self.choose.choice(holds)
        token = uuid4() if foreign else hold.token
        if self.choose.random() < 0.2:
            self.fence(hold, token)
            return
        call = self.choose.choice(
            [
                "complete_tasks(%(ids)s, %(token)s, null)",
                "fail_tasks(%(ids)s, %(token)s)",
                "release_tasks(%(ids)s, %(token)s)",
                "heartbeat_tasks(%(ids)s, %(token)s)",
            ]
        )
        for row in self.ask(f"select public.{call}", ids=[hold.task], token=token) or []:
            self.outcomes["fenced"] += 1
            if row[0][0] not in ("revoked", "cancelled", "not_found"):
                self.crowd.trouble.append(f"{row[0]} for {call} with a lease that is over: {hold}")

    def fence(self, hold: Hold, token: UUID) -> None:
        try:
            self.conn.execute("select public.assert_lease(%s, %s)", [hold.task, token])
            self.crowd.trouble.append(f"a lease that is over is asserted: {hold}")
        except psycopg.OperationalError as error:
            self.lose(error)
        except psycopg.Error as error:
            if error.sqlstate != "JB031":
                raise

    def on_behalf(self, hold: Hold) -> None:
        """Add a card and a task in a transaction, as long as the lease is held."""
        step = next(self.crowd.numbers)
        try:
            with self.conn.transaction():
                lease = [hold.task, hold.token]
                self.conn.execute("select public.assert_lease(%s, %s)", lease)
                self.conn.execute(
                    "insert into public.kanban_cards (org_id, job_id, task_id, type, title)"
                    " select t.org_id, t.job_id, t.id, 'send_email', 'of a worker'"
                    " from public.job_tasks as t where t.id = %s",
                    [hold.task],
                )
                self.conn.execute(
                    "insert into public.job_tasks (job_id, step, kind, max_retries, depends_on)"
                    " select t.job_id, %s, 'research', t.max_retries, '{}'"
                    " from public.job_tasks as t where t.id = %s",
                    [step, hold.task],
                )
            self.outcomes["added on behalf"] += 1
        except psycopg.OperationalError as error:
            self.lose(error)
        except psycopg.Error as error:
            if error.sqlstate not in ("JB031", "JB040") and (
                test_counters.NOT_OURS not in str(error)
            ):
                raise

    def plan(self) -> None:
        """Nothing to do: think of something, in any job that still runs."""
        if self.crowd.does_all:
            return
        plan = {
            "job": self.choose.choice(self.crowd.running())[1],
            "steps": [next(self.crowd.numbers) for _ in range(self.choose.choice(BATCHES))],
            "kinds": self.choose.choices(KINDS, k=3),
            "way": self.choose.choice(["independent", "in a chain", "after the first"]),
            "retries": self.choose.choice([0, 1, 5]),
        }
        try:
            self.conn.execute(PLAN, plan)
        except psycopg.Error as error:
            # Somebody has finished the job.
            if error.sqlstate not in ("JB020", "JB040") and (
                test_counters.NOT_OURS not in str(error)
            ):
                raise


PLAN = """
insert into public.job_tasks (job_id, step, kind, max_retries, depends_on)
select
  %(job)s,
  u.step,
  (%(kinds)s::text[])[1 + u.place %% 3],
  %(retries)s,
  case
    when %(way)s = 'independent' or u.place = 1 then '{}'
    when %(way)s = 'in a chain' then array[u.step - 1]
    else array[(%(steps)s::int[])[1]]
  end
from unnest(%(steps)s::int[]) with ordinality as u (step, place)
where %(way)s <> 'in a chain' or u.place = 1
  or (%(steps)s::int[])[u.place - 1] = u.step - 1
on conflict (job_id, batch, step) do nothing
returning id
"""


class Crowd:
    """The workers, what they share, and what went wrong."""

    def __init__(
        self, url: Callable[[], str], seed: int, kills: bool = False, pooled: bool = False
    ) -> None:
        self.url = url
        self.seed = seed
        self.kills = kills  # sessions and servers
        self.pooled = pooled  # no session has a role or statements of its own
        self.does_all = kills or pooled  # nothing is given up, and nobody plans but the test
        self.trouble: list[str] = []
        self.numbers = itertools.count(1_000_000)
        self.calm, self.over = threading.Event(), threading.Event()
        self.steps: Counter[int] = Counter()
        self.allowed = math.inf
        self.orgs = [uuid4(), uuid4()]
        self.workers: list[Worker] = []
        self.running: Callable[[], list[tuple[UUID, UUID]]] = list
        self.threads: list[threading.Thread] = []

    def connect(self) -> psycopg.Connection:
        """Connect as a worker does, again and again while the server is down."""
        deadline = time.monotonic() + TOO_LONG
        while True:
            try:
                if self.pooled:
                    return psycopg.connect(self.url(), autocommit=True, prepare_threshold=None)
                conn = psycopg.connect(self.url(), autocommit=True, application_name="worker")
                conn.execute("set role service_role")
                return conn
            except psycopg.OperationalError:
                if not self.kills or self.trouble or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def start(self, count: int) -> None:
        self.workers += [Worker(self, number) for number in range(count)]
        self.threads += [threading.Thread(target=worker.run) for worker in self.workers]
        for thread in self.threads:
            thread.start()

    def turn(self, number: int) -> bool:
        """Tell whether it is somebody's turn: nobody runs away from the witness."""
        if self.steps[number] >= self.allowed:
            time.sleep(0.002)
            return False
        self.steps[number] += 1
        return True

    def join(self) -> Counter[str]:
        """Wait for the workers; return what they did."""
        self.calm.set()
        self.over.set()
        for thread in self.threads:
            thread.join()
        outcomes = sum((worker.outcomes for worker in self.workers), Counter())
        print(dict(sorted(outcomes.items())))
        return outcomes

    def history(self) -> list[Hold]:
        return [hold for worker in self.workers for hold in worker.history]


def contradictions(history: Iterable[Hold], changes: Iterable[Taken] = ()) -> Iterator[str]:
    """Say where the histories of the workers cannot all be true."""
    holds_of, changes_of = defaultdict(list), defaultdict(list)
    for change in changes:
        changes_of[change.task].append(change)
    for hold in history:
        holds_of[hold.task].append(hold)
    for task, holds in holds_of.items():
        holds.sort(key=lambda h: h.attempt)
        for one, two in itertools.pairwise(holds):
            taken = any(
                c.began <= two.got and c.ended >= one.asked for c in changes_of.get(task, [])
            )
            if one.attempt == two.attempt:
                yield f"task {task} was claimed twice at the same time: {one} {two}"
            elif not taken and two.got < min(one.until, one.ended):
                yield f"task {task} was claimed while another lease was live: {one} {two}"
            if one.obeyed > two.got:
                yield f"a lease of task {task} was obeyed after the next claim: {one} {two}"
            if one.done:
                yield f"task {task} was done, and claimed again: {one} {two}"
        if sum(h.done for h in holds) > 1:
            yield f"task {task} was done twice: {holds}"


def differences(
    rows: dict[int, tuple[Any, ...]], history: Iterable[Hold], deleted: set[Any]
) -> Iterator[str]:
    """Say where the rows are not what the workers were told."""
    sent = defaultdict(list)
    for hold in history:
        sent[hold.task].append(hold.output)
        if hold.task not in rows:
            if not {hold.task, hold.job} & deleted:
                yield f"task {hold.task} is gone"
            continue
        status, attempt, output = rows[hold.task]
        if hold.done and (status, output) != ("done", hold.output):
            yield f"{hold} is {status} with {output}"
        if hold.attempt > attempt:
            yield f"{hold} is at attempt {attempt}"
    for task, (_, _, output) in rows.items():
        if output is not None and output not in sent[task]:
            yield f"nobody has sent the output {output} of task {task}"


# ------------------------------------------------------------------------------- among plain SQL


class Client(test_counters.Client):
    """A client that also retries and ticks, plans tasks of all kinds, and notes what it changes."""

    def __init__(self, storm: "Storm", number: int) -> None:
        super().__init__(storm, number)
        self.crowd = storm.crowd
        self.number = number
        self.changes: list[Taken] = []
        self.deleted: set[Any] = set()

    def run(self, transactions: int) -> None:
        try:
            while not self.storm.is_over.is_set() and not self.storm.trouble:
                began, first = time.time(), len(self.changes)
                if self.crowd.turn(-self.number - 1):
                    self.transaction()
                for change in self.changes[first:]:
                    change.began, change.ended = began, time.time()
        except Exception as error:
            self.storm.trouble.append(f"client: {type(error).__name__}: {error}")
        finally:
            self.conn.close()

    def send(self, statement: str, **values: Any) -> None:
        if not statement.startswith(("update public.job_tasks", "delete from public.job")):
            return super().send(statement, **values)
        rows = list(self.conn.execute(statement + " returning id", {**self.ids, **values}))
        if statement.startswith("delete"):
            self.deleted.update(row[0] for row in rows)
        now = time.time()
        self.changes += [Taken(row[0], now, now) for row in rows]
        return None

    def plan(self) -> None:
        if self.choose.random() < 0.5:
            return super().plan()
        return self.send(
            PLAN,
            steps=[next(self.crowd.numbers) for _ in range(self.choose.choice([1, 5, 20]))],
            kinds=self.choose.choices(KINDS, k=3),
            way=self.choose.choice(["independent", "in a chain", "after the first"]),
            retries=self.choose.choice([0, 2]),
        )

    def operator(self) -> None:
        if self.choose.random() < 0.6:
            return super().operator()
        self.act_as("service_role")
        return self.send(
            self.choose.choice(["select public.retry_job(%(job)s)", "select public.tick()"])
        )


class Storm(test_counters.Storm):
    """Plain clients among workers; a job that is cancelled is replaced by a new one."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.crowd = Crowd(lambda: stage.url, seed)
        super().__init__(stage, seed)
        self.trouble = self.crowd.trouble
        self.crowd.orgs = self.orgs
        self.crowd.running = lambda: self.jobs
        self.is_over = threading.Event()

    def blow(self, scale: float) -> tuple[list[Client], int]:
        """Let everybody loose, recount until all have done enough; return what plain SQL did."""
        clients = [Client(self, number) for number in range(CLIENTS)]
        threads = [threading.Thread(target=client.run, args=[0]) for client in clients]
        self.crowd.allowed = 0
        self.crowd.start(WORKERS)
        for thread in threads:
            thread.start()
        snapshots = 0
        while not self.trouble and snapshots < SNAPSHOTS:
            self.crowd.allowed += STEPS * scale / SNAPSHOTS
            if snapshots % 5 == 4:
                self.trouble += self.miscounted_for(self.orgs[snapshots % 2])
            else:
                with self.stage.witness.transaction():
                    for question in WRONG, UNLEASED:
                        self.trouble += [r[0] for r in self.stage.witness.execute(question)]
            snapshots += 1
        self.is_over.set()
        for thread in threads:
            thread.join()
        return clients, snapshots


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        stage.watch.execute(HASTE)
        stage.witness.execute("set jit = off")  # compiling takes longer than the recount
        yield stage


def test_workers_and_plain_sql_lose_nothing_and_miscount_nothing(
    stage: Stage, server: local.Server, scale: float, seed: int
) -> None:
    storm = Storm(stage, seed)
    clients, snapshots = storm.blow(scale)
    with stage.watch.transaction():  # nobody can write the last counts
        stage.watch.execute("select from public.jobs for no key update")
        outcomes = storm.crowd.join()
    log = (server.data.parent / "server.log").read_text()
    print(*(told[:2000] for told in log.split("deadlock detected")[1:]), sep="\n...\n")
    print(f"{snapshots} snapshots, {sum((c.outcomes for c in clients), Counter())}")
    assert not storm.trouble, "\n".join(storm.trouble[:10])

    assert stage.watch.execute("select from jobsdb.job_deltas").fetchone() is not None
    last = storm.crowd.connect()  # the workers' last idle poll, whoever's it is
    poll = "select from public.claim_tasks('last', 10)"
    list(iter(lambda: last.execute(poll).fetchone(), None))
    last.close()
    wrong = [row[0] for row in stage.watch.execute(MISCOUNTED)]
    assert not wrong, "\n".join(wrong)

    history = storm.crowd.history()
    changes = [change for client in clients for change in client.changes]
    rows = {row[0]: row[1:] for row in stage.watch.execute(ROWS)}
    deleted = set().union(*(client.deleted for client in clients))
    wrong = [*contradictions(history, changes), *differences(rows, history, deleted)]
    assert not wrong, "\n".join(wrong[:10])
    time.sleep(0.06)  # what has failed is due
    stage.watch.execute("select public.resume_job(id) from public.jobs where paused_at is not null")
    stage.watch.execute("select public.tick()")
    stage.rest()
    assert snapshots >= SNAPSHOTS
    assert set(outcomes) >= LEAST, "everything must have happened"


# --------------------------------------------------------------------- killed sessions and servers


class Killed:
    """A server of its own, which keeps what it has promised, and somebody who kills."""

    def __init__(self, data_root: Path, seed: int) -> None:
        self.data_root = data_root
        self.choose = random.Random(seed)
        self.server = self.start()
        self.ids: set[int] = set()
        migrate(self.server.url())
        self.crowd = Crowd(lambda: self.server.url(), seed, kills=True)
        with psycopg.connect(self.server.url()) as conn:
            conn.execute(HASTE)
            insert = "insert into public.jobs (org_id, name) values (%s, 'deadly') returning id"
            start = "select public.transition_job_status(%s, 'running')"
            orgs = [*self.crowd.orgs, self.crowd.orgs[0]]
            self.jobs = [conn.execute(insert, [org]).fetchone()[0] for org in orgs]
            for job in self.jobs:
                conn.execute(start, [job])

    def start(self) -> local.Server:
        """Start the server, unless it runs."""
        settings = {"fsync": "on", "synchronous_commit": "on", "restart_after_crash": "on"}
        return local.start("killed", settings, BINDIR, self.data_root)

    def plan(self, conn: psycopg.Connection, tasks: int) -> None:
        """Add tasks; a chain of them as long as somebody may need it."""
        steps = [next(self.crowd.numbers) for _ in range(tasks)]
        way = self.choose.choice(["independent", "in a chain", "after the first"])
        rows = conn.execute(
            PLAN,
            {
                "job": self.choose.choice(self.jobs),
                "steps": steps,
                "kinds": list(KINDS),
                "way": way,
                "retries": 1_000_000,
            },
        )
        self.ids |= {row[0] for row in rows}

    def look(self) -> None:
        """Plan more, and recount what there is."""
        with psycopg.connect(self.server.url(), autocommit=True) as conn:
            self.plan(conn, 30)
            with conn.transaction():
                conn.execute("set transaction isolation level repeatable read")
                for question in WRONG, UNLEASED:
                    self.crowd.trouble += [row[0] for row in conn.execute(question)]

    def kill(self, what: str) -> None:
        """End a session as an administrator does; or kill -9 one, or the whole server."""
        with psycopg.connect(self.server.url(), autocommit=True) as conn:
            found = "select pid from pg_stat_activity where application_name = 'worker'"
            while not (pids := [row[0] for row in conn.execute(found)]):
                time.sleep(0.01)
            if what == "session":
                conn.execute("select pg_terminate_backend(%s)", [self.choose.choice(pids)])
            if what == "backend":
                # Until the server notices; one that has just ended by itself will not do.
                with suppress(psycopg.OperationalError, ProcessLookupError):
                    os.kill(self.choose.choice(pids), signal.SIGKILL)
                    while True:
                        conn.execute("select")
        if what == "server":
            os.kill(self.server.pid, signal.SIGKILL)
        if what != "session":
            self.revive()

    def revive(self) -> None:
        """Wait until the server answers again, and start it where it does not by itself."""
        deadline = time.monotonic() + TOO_LONG
        while True:
            time.sleep(0.02)
            self.server = self.start()
            try:
                with psycopg.connect(self.server.url()):
                    return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server does not come back"


def wait_until_done(conn: psycopg.Connection, crowd: Crowd) -> None:
    """Wait until the workers have done everything."""
    deadline = time.monotonic() + TOO_LONG
    left = "select to_jsonb(t) from public.job_tasks as t where status <> 'done' limit 5"
    while (rows := conn.execute(left).fetchall()) and not crowd.trouble:
        leases = conn.execute("select to_jsonb(l) from jobsdb.leases as l").fetchall()
        assert time.monotonic() < deadline, f"not done: {rows}, leases: {leases}"
        time.sleep(0.05)


def test_killed_workers_and_servers_lose_nothing_and_do_nothing_twice(
    data_root: Path, scale: float, seed: int
) -> None:
    killed = Killed(data_root, seed)
    crowd = killed.crowd
    crowd.start(6)
    victims = [*["session"] * int(300 * scale), *["backend"] * int(40 * scale)]
    victims += ["server"] * int(20 * scale)
    killed.choose.shuffle(victims)
    try:
        for victim in victims:
            if crowd.trouble:
                break
            killed.look()
            time.sleep(killed.choose.uniform(0, 0.03))
            killed.kill(victim)
        crowd.calm.set()
        with psycopg.connect(killed.server.url(), autocommit=True) as conn:
            wait_until_done(conn, crowd)
    finally:
        outcomes = crowd.join()
    assert not crowd.trouble, "\n".join(crowd.trouble[:10])

    with psycopg.connect(killed.server.url(), autocommit=True) as conn:
        wrong = [row[0] for row in conn.execute(MISCOUNTED)]
        rows = {row[0]: row[1:] for row in conn.execute(ROWS)}
        history = crowd.history()
        wrong += [*contradictions(history), *differences(rows, history, set())]
        wrong += [f"the planned task {task} is gone" for task in killed.ids - rows.keys()]
        assert not wrong, "\n".join(wrong[:10])
        conn.execute("select public.refresh_job_metrics()")  # the storm may be long
        told = [(r.check.sentence, r.findings) for r in verify.examine(conn) if r.word != "ok"]
        assert not told
    assert outcomes["lost answers"] >= len(victims) / 4
    assert outcomes["completed"] > len(rows) / 2


# --------------------------------------------------------------------------- through a pooler


@pytest.fixture
def empty_url(url: str) -> str:
    """Let ``pooled_url`` lead to a database in which jobsdb is installed."""
    return url


pooled_url = test_migrate.pooled_url


def test_workers_behind_a_transaction_pooler_do_everything_once(
    pooled_url: str, url: str, seed: int
) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        job = conn.execute(
            "insert into public.jobs (org_id, name) values (%s, 'pooled') returning id", [uuid4()]
        ).fetchone()[0]
        conn.execute("select public.transition_job_status(%s, 'running')", [job])
        plan = {"job": job, "steps": list(range(1, 201)), "kinds": list(KINDS), "retries": 99}
        conn.execute(PLAN, {**plan, "way": "independent"})
        conn.execute(HASTE)

        crowd = Crowd(lambda: pooled_url, seed, pooled=True)
        crowd.allowed = 25  # steps of a worker, before all are told to finish
        crowd.start(4)
        try:
            while sum(crowd.steps.values()) < 4 * crowd.allowed and not crowd.trouble:
                time.sleep(0.01)
            crowd.calm.set()
            wait_until_done(conn, crowd)
        finally:
            outcomes = crowd.join()
        assert not crowd.trouble, "\n".join(crowd.trouble[:10])
        rows = {row[0]: row[1:] for row in conn.execute(ROWS)}
        history = crowd.history()
        wrong = [*contradictions(history), *differences(rows, history, set())]
        wrong += [row[0] for row in conn.execute(MISCOUNTED)]
        assert not wrong, "\n".join(wrong[:10])
        assert outcomes["completed"] == len(rows) >= 200


# ------------------------------------------------------------------------------ against a model


LEGAL = {
    *(("pending", to) for to in ("running", "done", "error", "skipped")),
    *(("running", to) for to in ("pending", "done", "error", "skipped")),
    *(("error", to) for to in ("pending", "skipped")),
}
STATUSES = ("pending", "running", "done", "error", "skipped")
FINISHED = ("succeeded", "failed", "cancelled")
WAYS_OF_A_JOB = {
    "start": ("running", ("pending",)),
    "succeed": ("succeeded", ("running",)),
    "fail": ("failed", ("running",)),
    "cancel": ("cancelled", ("pending", "running")),
}
NUMBER = st.integers(0, 30)
SOME = st.lists(NUMBER, min_size=1, max_size=4, unique=True)
# The first random() after each is far from what makes a claim look after other things.
DRAWS = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass
class Job:
    """What the model knows of a job."""

    id: UUID
    org: UUID
    status: str = "pending"
    is_paused: bool = False

    def is_runnable(self) -> bool:
        return self.status == "running" and not self.is_paused


@dataclass
class Task:
    """What the model knows of a task."""

    id: int
    job: Job
    kind: str
    max_retries: int
    after: list["Task"]
    status: str = "pending"
    token: UUID | None = None
    is_expired: bool = False
    waits: str = "no"
    """Until its next try: no, for long, or no longer than somebody looks."""
    retries: int = 0
    attempts: int = 0
    output: int | None = None

    def is_claimable(self) -> bool:
        return (
            self.job.is_runnable()
            and self.status == "pending"
            and self.waits == "no"
            and all(task.status in ("done", "skipped") for task in self.after)
        )

    def move(self, status: str) -> None:
        self.status, self.token, self.is_expired, self.waits = status, None, False, "no"


class Model(RuleBasedStateMachine):
    """Two jobs and all that may happen to their tasks, one thing after the other."""

    def __init__(self, conn: psycopg.Connection) -> None:
        super().__init__()
        self.conn = conn
        self.conn.execute("delete from public.jobs")
        insert = (
            "insert into public.jobs (org_id, name) values (%s, 'a model') returning id, org_id"
        )
        self.jobs = [Job(*self.conn.execute(insert, [uuid4()]).fetchone()) for _ in range(2)]
        self.tasks: dict[int, Task] = {}
        self.tokens = [uuid4()]
        self.steps = itertools.count(1)
        for number, way in enumerate(["in a chain", "independent"]):
            self.change_job("start", number)
            self.plan(number, [*KINDS, *KINDS], way, 1 - number)

    # -------------------------------------------------------------------- what the model is asked

    def token(self, lease: int) -> UUID:
        """Return a token, mostly of a live lease; when there is none, claim first."""
        if not any(task.token for task in self.tasks.values()):
            self.claim(3, None, None, DRAWS[lease % len(DRAWS)])
        live = list(dict.fromkeys(t.token for t in self.tasks.values() if t.token))
        tokens = live if live and lease % 5 else self.tokens
        return tokens[lease % len(tokens)]

    def meant(self, token: UUID, some: list[int], held: bool) -> list[int]:
        """Return ids of tasks: with this token, or of any, mostly running, and of none."""
        tasks = [t.id for t in self.tasks.values() if t.token == token or (not held and t.token)]
        if not held:
            tasks += [*tasks, *tasks, *self.tasks, UNKNOWN]
        return list(dict.fromkeys(tasks[number % len(tasks)] for number in some if tasks))

    def settle(self, ids: list[int], token: UUID) -> tuple[list[str], list[Task]]:
        """Predict the verdicts, and for which tasks the call does what it is asked."""
        verdicts, granted = [], []
        for task in (self.tasks.get(number) for number in ids):
            if task is None:
                verdicts.append("not_found")
            elif task.status == "running" and task.token == token:
                verdicts.append("paused" if task.job.is_paused else "ok")
                granted.append(task)
            elif task.job.status in ("failed", "cancelled"):
                verdicts.append("cancelled")
            else:
                verdicts.append("revoked")
        return verdicts, granted

    def look_after(self) -> tuple[int, int]:
        """Predict what whoever has time does: tasks rescued, and promoted."""
        lost = [t for t in self.tasks.values() if t.is_expired]
        for task in lost:
            if task.retries < task.max_retries:
                task.retries += 1
                task.move("pending")
            else:
                task.move("error")
        due = [t for t in self.tasks.values() if t.waits == "due" and t.job.is_runnable()]
        for task in due:
            task.waits = "no"
        return len(lost), len(due)

    def ask(self, statement: str, *values: Any) -> Any:
        return self.conn.execute(f"select public.{statement}", values).fetchone()[0]

    def is_refused(self, statement: str, *values: Any) -> str | None:
        try:
            self.conn.execute(statement, values)
        except psycopg.Error as error:
            return error.sqlstate
        return None

    # ------------------------------------------------------------------------------ what happens

    @rule(
        job=st.integers(0, 1),
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
        way=st.sampled_from(["independent", "in a chain", "after the first"]),
        retries=st.integers(0, 2),
    )
    def plan(self, job: int, kinds: list[str], way: str, retries: int) -> None:
        steps = [next(self.steps) for _ in kinds]
        insert = (
            "insert into public.job_tasks (job_id, step, kind, max_retries, depends_on)"
            " values (%s, %s, %s, %s, %s) returning id"
        )
        new: list[Task] = []
        for step, kind in zip(steps, kinds, strict=True):
            after = {"independent": [], "in a chain": new[-1:], "after the first": new[:1]}[way]
            depends_on = [steps[new.index(task)] for task in after]
            values = [self.jobs[job].id, step, kind, retries, depends_on]
            if self.jobs[job].status in FINISHED:
                assert self.is_refused(insert, *values) == "JB040"
                return
            row = self.conn.execute(insert, values).fetchone()
            new.append(Task(row[0], self.jobs[job], kind, retries, after))
        self.tasks.update((task.id, task) for task in new)

    def claimed(
        self, rows: list[Any], count: int, kinds: list[str] | None, job: int | None
    ) -> None:
        def claimable() -> dict[int, Task]:
            return {
                task.id: task
                for task in self.tasks.values()
                if task.is_claimable()
                and (kinds is None or task.kind in kinds)
                and (job is None or task.job is self.jobs[job])
            }

        offered = claimable()
        if not offered:
            self.look_after()
            offered = claimable()
        got = [row[0] for row in rows]
        assert len(set(got)) == len(got) == min(count, len(offered)), (got, offered)
        assert set(got) <= set(offered), (got, offered)
        assert len({row[1] for row in rows}) <= 1
        for number, token, attempt, retries in rows:
            task = offered[number]
            task.move("running")
            task.token = token
            task.attempts += 1
            assert (attempt, retries) == (task.attempts, task.retries)
            self.tokens = [token, *(t for t in self.tokens if t != token)]

    @rule(
        count=st.sampled_from(BATCHES),
        kinds=st.none() | st.lists(st.sampled_from(KINDS), min_size=1, max_size=2, unique=True),
        job=st.none() | st.integers(0, 1),
        draw=st.sampled_from(DRAWS),
    )
    def claim(self, count: int, kinds: list[str] | None, job: int | None, draw: float) -> None:
        self.conn.execute("select setseed(%s)", [draw])
        org = None if job is None else self.jobs[job].org
        rows = self.conn.execute(
            "select id, lease_token, attempt, retry_count"
            " from public.claim_tasks('model', %s, %s::text[], %s::uuid)",
            [count, kinds, org],
        ).fetchall()
        self.claimed(rows, count, kinds, job)

    @rule(
        lease=NUMBER,
        some=SOME,
        held=st.booleans(),
        count=st.sampled_from([0, *BATCHES]),
        kind=st.none() | st.sampled_from(KINDS),
        draw=st.sampled_from(DRAWS),
    )
    def complete(
        self, lease: int, some: list[int], held: bool, count: int, kind: str | None, draw: float
    ) -> None:
        token = self.token(lease)
        ids = self.meant(token, some, held)
        verdicts, granted = self.settle(ids, token)
        for task in granted:
            task.move("done")
            task.output = task.id
        outputs = [Jsonb(number) for number in ids]
        if count == 0:
            assert self.ask("complete_tasks(%s, %s, %s::jsonb[])", ids, token, outputs) == verdicts
            return
        self.conn.execute("select setseed(%s)", [draw])
        kinds = [kind] if kind else None
        rows = self.conn.execute(
            "select id, lease_token, attempt, retry_count, verdicts from public.complete_and_claim("
            " %s, %s, %s::jsonb[], 'model', %s, %s::text[])",
            [ids, token, outputs, count, kinds],
        ).fetchall()
        assert all(row[4] == verdicts for row in rows), (rows, verdicts)
        self.claimed([row[:4] for row in rows if row[0] is not None], count, kinds, None)

    @rule(lease=NUMBER, some=SOME, held=st.booleans(), retry=st.booleans())
    def fail(self, lease: int, some: list[int], held: bool, retry: bool) -> None:
        token = self.token(lease)
        ids = self.meant(token, some, held)
        verdicts, granted = self.settle(ids, token)
        for task in granted:
            if retry and task.retries < task.max_retries:
                task.retries += 1
                task.move("pending")
                task.waits = "long"
            else:
                task.move("error")
        assert self.ask("fail_tasks(%s, %s, null, %s)", ids, token, retry) == verdicts

    @rule(lease=NUMBER, some=SOME, held=st.booleans())
    def release(self, lease: int, some: list[int], held: bool) -> None:
        token = self.token(lease)
        ids = self.meant(token, some, held)
        verdicts, granted = self.settle(ids, token)
        for task in granted:
            task.move("pending")
        assert self.ask("release_tasks(%s, %s)", ids, token) == verdicts

    @rule(lease=NUMBER, some=SOME, held=st.booleans())
    def heartbeat(self, lease: int, some: list[int], held: bool) -> None:
        token = self.token(lease)
        ids = self.meant(token, some, held)
        verdicts, granted = self.settle(ids, token)
        for task in granted:
            task.is_expired = False
        assert self.ask("heartbeat_tasks(%s, %s)", ids, token) == verdicts

    @rule(lease=NUMBER, number=NUMBER)
    def assert_lease(self, lease: int, number: int) -> None:
        token = self.token(lease)
        for task in self.meant(token, [number], held=number % 3 > 0):
            granted = self.settle([task], token)[1]
            refusal = self.is_refused("select public.assert_lease(%s, %s)", task, token)
            assert refusal == (None if granted else "JB031")

    @rule(lease=NUMBER)
    def expire(self, lease: int) -> None:
        """The clock goes on: a lease ends."""
        token = self.token(lease)
        self.conn.execute(
            "update public.job_tasks set lease_expires_at = now() - interval '1 s', rev = rev + 1"
            " where lease_token = %s",
            [token],
        )
        look = "update jobsdb.leases set look_at = now() - interval '1 s' where token = %s"
        self.conn.execute(look, [token])
        for task in self.tasks.values():
            task.is_expired = task.is_expired or task.token == token

    @rule()
    def fall_due(self) -> None:
        """The clock goes on: what has failed may be tried again."""
        self.conn.execute(
            "update public.job_tasks set waits_until = now() - interval '1 s', rev = rev + 1"
            " where waits_until is not null"
        )
        for task in self.tasks.values():
            if task.waits == "long":
                task.waits = "due"

    @rule(number=NUMBER, to=st.sampled_from(STATUSES))
    def move(self, number: int, to: str) -> None:
        """Plain SQL."""
        if not self.tasks:
            return
        task = list(self.tasks.values())[number % len(self.tasks)]
        expected = None
        if task.status != to and (task.status, to) not in LEGAL:
            expected = "JB002"
        elif task.status != to and task.job.status in FINISHED and to != "skipped":
            expected = "JB040"
        update = "update public.job_tasks set status = %s where id = %s"
        assert self.is_refused(update, to, task.id) == expected, (task, to)
        if expected is None and task.status != to:
            task.move(to)

    @rule(to=st.sampled_from(sorted(WAYS_OF_A_JOB)), number=st.integers(0, 3))
    def change_job(self, to: str, number: int) -> None:
        """Start or finish a job, not too often."""
        if number >= len(self.jobs):
            return
        job = self.jobs[number]
        tasks = [t for t in self.tasks.values() if t.job is job]
        goal, starts = WAYS_OF_A_JOB[to]
        if goal == "succeeded" and job.is_paused:
            return
        is_open = any(t.status in ("pending", "running") for t in tasks)
        expected = None
        if job.status not in (*starts, goal):
            expected = "JB001"
        elif goal == "succeeded" and job.status != goal and is_open:
            expected = "JB040"
        change = "select public.transition_job_status(%s, %s)"
        assert self.is_refused(change, job.id, goal) == expected, (job, goal)
        if expected is None and job.status != goal:
            job.status, job.is_paused = goal, False
            for task in tasks:
                if goal in ("failed", "cancelled") and task.status in ("pending", "running"):
                    task.move("skipped")

    @rule(number=st.integers(0, 1))
    def pause_or_resume(self, number: int) -> None:
        job = self.jobs[number]
        if job.status == "running":
            self.ask(f"{'resume' if job.is_paused else 'pause'}_job(%s)", job.id)
            job.is_paused = not job.is_paused

    @rule(number=st.integers(0, 1))
    def retry(self, number: int) -> None:
        job = self.jobs[number]
        if job.status in FINISHED:
            assert self.is_refused("select public.retry_job(%s)", job.id) == "JB040"
            return
        lost = [t for t in self.tasks.values() if t.job is job and t.status == "error"]
        assert self.ask("retry_job(%s)", job.id) == len(lost)
        for task in lost:
            task.move("pending")
            task.retries = 0

    @rule()
    def tick(self) -> None:
        told = self.ask("tick()")
        assert (told["rescued"], told["promoted"]) == self.look_after(), told

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        rows = {r[0]: r[1:] for r in self.conn.execute(ROWS)}
        assert rows == {t.id: (t.status, t.attempts, t.output) for t in self.tasks.values()}
        for job in self.jobs:
            found = Counter(t.status for t in self.tasks.values() if t.job is job)
            counted = self.conn.execute(
                "select tasks_total, tasks_done, tasks_error, tasks_skipped, status::text"
                " from public.jobs where id = %s",
                [job.id],
            ).fetchone()
            known = (found.total(), *(found[status] for status in STATUSES[2:]), job.status)
            assert counted == known
        for question in MISCOUNTED, WRONG, UNLEASED:
            assert not (wrong := self.conn.execute(question).fetchall()), wrong


def test_a_model_predicts_every_verdict_status_and_counter(
    db: psycopg.Connection, scale: float, seed: int
) -> None:
    db.execute("set jit = off")
    db.execute("update jobsdb.task_kinds set backoff = '1 day', backoff_limit = '1 day'")
    for draw in DRAWS:
        db.execute("select setseed(%s)", [draw])
        assert db.execute("select random()").fetchone()[0] > 0.02

    @hypothesis.seed(seed)
    def model() -> Model:
        return Model(db)

    bounds = hypothesis.settings(
        max_examples=int(400 * scale),
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(model, settings=bounds)
