"""The worker functions, one session at a time: every verdict, every refusal, every way to a task.

A worker is role ``service_role`` without a ``sub``, in autocommit: one call, one transaction. After
each test everything is counted again, and every running task must be named by its lease.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from helpers import as_anon, as_tenant, refused
from stepping import Stage, open_stage
from world import (
    UNKNOWN,
    UNKNOWN_TASK,
    A,
    B,
    check_counters,
    column,
    counters,
    move_job,
    move_task,
    new_job,
    new_task,
    one,
    row,
)

_steps = itertools.count(1)

TYPES = {
    "worker": "text",
    "max_tasks": "int",
    "kinds": "text[]",
    "org_id": "uuid",
    "lease": "interval",
    "run_id": "uuid",
    "task_ids": "bigint[]",
    "lease_token": "uuid",
    "outputs": "jsonb[]",
    "errors": "text[]",
    "retry": "boolean",
    "job_id": "uuid",
    "task_id": "bigint",
}
VERDICT_FUNCTIONS = ("complete_tasks", "heartbeat_tasks", "fail_tasks", "release_tasks")
# One task of one kind has a path of its own.
WAYS: dict[str, dict[str, Any]] = {
    "one of one kind": {"kinds": ["research"]},
    "one": {},
    "one of two kinds": {"kinds": ["follow_up", "research"]},
    "many": {"max_tasks": 50},
}
each_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)

# Whoever runs is named by a lease; who does not has none; who is pending waits for one thing.
WRONG_LEASES = """
select format('task %s is running without a row in leases', t.id)
from public.job_tasks as t
where t.status = 'running' and not exists (
  select from jobsdb.leases as l
  where l.job_id = t.job_id and l.org_id = t.org_id and l.token = t.lease_token
    and t.id = any(l.task_ids)
    and (t.lease_expires_at is null) = (l.look_at = 'infinity')
)
union all
select format('task %s is %s and has a lease or a place', t.id, t.status)
from public.job_tasks as t
where t.status <> 'running' and num_nonnulls(t.lease_token, t.lease_expires_at, t.locked_by) > 0
  or num_nonnulls(t.pos, t.waits_on, t.waits_until) <> (t.status = 'pending')::int
union all
select format('task %s is %s and ended at %s', t.id, t.status, t.finished_at)
from public.job_tasks as t
where (t.status in ('done', 'error', 'skipped')) <> (t.finished_at is not null)
"""


class Worker:
    """A worker's connection; tasks are the rows its claims have returned."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn = conn
        conn.execute("select set_config('role', 'service_role', false)")
        claims = "select set_config('request.jwt.claims', '{\"role\":\"service_role\"}', false)"
        conn.execute(claims)

    def call(self, function: str, **arguments: Any) -> list[dict[str, Any]]:
        named = ", ".join(f"{name} => %({name})s::{TYPES[name]}" for name in arguments)
        query = f"select * from public.{function}({named})"
        return self.conn.cursor(row_factory=dict_row).execute(query, arguments).fetchall()

    def value(self, function: str, **arguments: Any) -> Any:
        (found,) = self.call(function, **arguments)
        return found[function]

    def claim(self, max_tasks: int = 1, **options: Any) -> list[dict[str, Any]]:
        return self.call("claim_tasks", **{"worker": "w", "max_tasks": max_tasks, **options})

    def meant(self, tasks: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"task_ids": [t["id"] for t in tasks], "lease_token": tasks[0]["lease_token"]}

    def complete(self, tasks: Sequence[dict[str, Any]], **options: Any) -> list[str]:
        return self.value("complete_tasks", **self.meant(tasks), **options)

    def heartbeat(self, tasks: Sequence[dict[str, Any]], **options: Any) -> list[str]:
        return self.value("heartbeat_tasks", **self.meant(tasks), **options)

    def fail(self, tasks: Sequence[dict[str, Any]], **options: Any) -> list[str]:
        return self.value("fail_tasks", **self.meant(tasks), **options)

    def release(self, tasks: Sequence[dict[str, Any]]) -> list[str]:
        return self.value("release_tasks", **self.meant(tasks))

    def next(
        self, tasks: Sequence[dict[str, Any]], outputs: Any = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Complete tasks and claim others."""
        given = {"outputs": outputs, "worker": "w", **options}
        return self.call("complete_and_claim", **self.meant(tasks), **given)

    def tick(self) -> dict[str, Any]:
        return self.value("tick")


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


@pytest.fixture
def db(stage: Stage, connect: Callable[..., psycopg.Connection]) -> Iterator[psycopg.Connection]:
    """Return the owner's connection; at the end of the test all must be right."""
    conn = connect()
    yield conn
    assert conn.execute(WRONG_LEASES).fetchall() == []
    check_counters(conn)
    for job in column(conn, "select id from jobs where paused_at is not null"):
        with suppress(psycopg.Error):  # its job may be finished
            conn.execute("select public.resume_job(%s)", [job])
    make_due(conn)
    conn.execute("select public.tick()")
    assert conn.execute(WRONG_LEASES).fetchall() == []
    stage.rest()


@pytest.fixture
def worker(db: psycopg.Connection, connect: Callable[..., psycopg.Connection]) -> Worker:
    return Worker(connect())


@pytest.fixture
def job(db: psycopg.Connection) -> UUID:
    return new_job(db)


def plan(db: psycopg.Connection, job: UUID, **columns: Any) -> int:
    """A task of a job; any column may be given."""
    given = {"job_id": job, "step": next(_steps), "kind": "research", "depends_on": "{}", **columns}
    names, places = ", ".join(given), ", ".join(f"%({name})s" for name in given)
    query = f"insert into public.job_tasks ({names}) values ({places}) returning id"
    return int(db.execute(query, given).fetchone()[0])


def plan_many(
    db: psycopg.Connection, job: UUID, count: int, kind: str = "research", priority: int = 0
) -> None:
    db.execute(
        "insert into public.job_tasks (job_id, step, kind, depends_on, priority)"
        " select %s, 10000000 + nextval('jobsdb.task_order'), %s, '{}', %s"
        " from generate_series(1, %s)",
        [job, kind, priority, count],
    )


def task(db: psycopg.Connection, task: int) -> dict[str, Any]:
    return row(db, "select * from public.job_tasks where id = %s", task)


def status(db: psycopg.Connection, task: int) -> str:
    return one(db, "select status from public.job_tasks where id = %s", task)


def running(db: psycopg.Connection, job: UUID) -> int:
    return one(db, "select running from public.get_job_progress(%s)", job)


def leases(db: psycopg.Connection) -> int:
    return one(db, "select count(*) from jobsdb.leases")


def ids(tasks: Sequence[dict[str, Any]]) -> list[int]:
    return [t["id"] for t in tasks]


def end_leases(db: psycopg.Connection) -> None:
    """Let a day pass for all workers."""
    past = "least({0}, clock_timestamp() - interval '1 second')"
    db.execute(
        f"update public.job_tasks set lease_expires_at = {past.format('lease_expires_at')},"
        " rev = rev + 1 where lease_expires_at is not null"
    )
    look_at = past.format("look_at")
    db.execute(f"update jobsdb.leases set look_at = {look_at} where look_at <> 'infinity'")


def make_due(db: psycopg.Connection) -> None:
    """Let the pauses before retries, and all other times that are waited for, pass."""
    db.execute(
        "update public.job_tasks set waits_until = clock_timestamp(), rev = rev + 1"
        " where waits_until is not null"
    )


def pause(db: psycopg.Connection, job: UUID) -> None:
    db.execute("select public.pause_job(%s)", [job])


def eventually(found: Callable[[], Any]) -> Any:
    """Poll, as workers do, until something is found."""
    deadline = time.monotonic() + 10
    while not (result := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result


# ------------------------------------------------------------------------------------------- claim


@each_way
def test_a_claim_hands_over_what_a_worker_needs(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    made = plan(db, job, batch=3, step=7, input=Jsonb({"target_id": "c1"}))
    (claimed,) = worker.claim(worker="agent 7", lease="90 seconds", **options)
    assert {n: v for n, v in claimed.items() if n[:5] not in ("lease", "verdi")} == {
        "id": made,
        "job_id": job,
        "org_id": A,
        "batch": 3,
        "step": 7,
        "kind": "research",
        "input": {"target_id": "c1"},
        "attempt": 1,
        "retry_count": 0,
    }
    assert not claimed["verdicts"]
    kept = task(db, made)
    assert (kept["status"], kept["locked_by"], kept["pos"]) == ("running", "agent 7", None)
    assert kept["lease_token"] == claimed["lease_token"]
    assert kept["lease_expires_at"] == claimed["lease_expires_at"]
    left = one(db, "select lease_expires_at - clock_timestamp() from job_tasks where id = %s", made)
    assert 80 < left.total_seconds() <= 90
    assert kept["started_at"] is not None
    assert running(db, job) == 1
    assert worker.claim(**options) == []


@each_way
def test_only_running_jobs_are_worked_on(
    db: psycopg.Connection, worker: Worker, options: dict[str, Any]
) -> None:
    jobs = {status: new_job(db, status=status) for status in ("pending", "running")}
    tasks = {name: plan(db, made) for name, made in jobs.items()}
    for end in ("failed", "cancelled"):
        jobs[end] = new_job(db)
        plan(db, jobs[end])
        move_job(db, jobs[end], end)
    assert ids(worker.claim(**options)) == [tasks["running"]]
    assert worker.claim(**options) == []
    move_job(db, jobs["pending"], "running")
    assert ids(worker.claim(**options)) == [tasks["pending"]]


def test_all_tasks_of_a_call_share_a_token_and_no_two_calls_do(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    other = new_job(db, B)
    for made in (job, other):
        for kind in ("research", "follow_up"):
            plan_many(db, made, 2, kind)
    batch = worker.claim(6)
    assert len(batch) == len(set(ids(batch))) == 6
    assert len({t["job_id"] for t in batch}) == len({t["kind"] for t in batch}) == 2
    (one_left,) = worker.claim()
    kind = one(db, "select kind from job_tasks where status = 'pending'")
    (last,) = worker.claim(kinds=[kind])
    assert len({t["lease_token"] for t in batch}) == 1
    assert len({t["lease_token"] for t in [*batch, one_left, last]}) == 3
    # Version 8: of several tasks, never used again. Version 4: of one.
    versions = [t["lease_token"].version for t in (batch[0], one_left, last)]
    assert versions == [8, 4, 4]
    assert worker.complete(batch) == ["ok"] * 6
    assert [worker.complete([t]) for t in (one_left, last)] == [["ok"], ["ok"]]
    assert leases(db) == 0


def test_a_claim_takes_no_more_than_asked_for(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 10)
    plan_many(db, job, 10, "follow_up")
    assert len(worker.claim(3)) == 3
    assert len(worker.claim(12)) == 12
    assert len(worker.claim(10_000)) == 5
    assert worker.claim(10_000) == []


def test_only_named_kinds_are_claimed(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    made = {kind: plan(db, job, kind=kind) for kind in ("follow_up", "research", "create_deal")}
    assert worker.claim(kinds=["draft_email"]) == []
    assert worker.claim(9, kinds=["draft_email", "send_email"]) == []
    assert ids(worker.claim(kinds=["create_deal"])) == [made["create_deal"]]
    assert ids(worker.claim(9, kinds=["research", "research", "create_deal"])) == [made["research"]]
    assert ids(worker.claim(9)) == [made["follow_up"]]


def test_of_two_kinds_the_oldest_task_comes_first(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    order = ["research", "follow_up", "follow_up", "research", "follow_up"]
    made = [plan(db, job, kind=kind) for kind in order]
    claimed = [worker.claim(kinds=["follow_up", "research"]) for _ in order]
    assert [t["id"] for (t,) in claimed] == made


def test_tasks_of_a_kind_are_claimed_in_the_order_of_their_coming(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    made = [plan(db, job) for _ in range(8)]
    found = [*worker.claim(kinds=["research"]), *worker.claim(), *worker.claim(2)]
    found += worker.claim(kinds=["research", "follow_up"])
    assert [t["id"] for t in found] == made[:5]
    found = worker.next(found[:1], kinds=["research"])
    assert ids(found) == made[5:6]
    assert ids(worker.next(found, max_tasks=9)) == made[6:]


# ---------------------------------------------------------------------------------------- priority


@each_way
def test_higher_priorities_are_claimed_first(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    priorities = [0, 5, -3, 0, 2_000, -2_000, 5, 1]
    made = {plan(db, job, priority=p): p for p in priorities}
    first = {k: v for k, v in options.items() if k != "max_tasks"}
    claimed = [worker.claim(**first)[0]["id"] for _ in made]
    assert [made[t] for t in claimed] == [2_000, 5, 5, 1, 0, 0, -3, -2_000]
    ties = [t for t in claimed if made[t] in (5, 0)]
    assert ties == sorted(ties[:2]) + sorted(ties[2:])


def test_priority_binds_across_kinds_and_may_change_while_pending(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    first, second, third = plan(db, job), plan(db, job, kind="follow_up"), plan(db, job)
    with as_tenant(db, A):
        db.execute("update job_tasks set priority = 9 where id = %s", [third])
        db.execute("update job_tasks set priority = 1 where id = %s", [second])
    assert [worker.claim()[0]["id"] for _ in range(3)] == [third, second, first]


def moved_mark(db: psycopg.Connection, job: UUID) -> int:
    """Let a job have a past: its mark is where its present tasks are."""
    db.execute("select setval('jobsdb.task_order', 100000)")
    plan_many(db, job, 3)
    db.execute("select jobsdb.move_mark(%s, 'research', true)", [job])
    mark = one(
        db, "select (marks ->> 'research')::bigint from jobsdb.runnable_jobs where job_id = %s", job
    )
    assert 90_000 < mark < 100_000
    return int(mark)


@each_way
def test_an_urgent_task_that_comes_after_the_mark_has_moved_is_first(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    moved_mark(db, job)
    urgent = plan(db, job, priority=1)
    assert worker.claim(**{**options, "max_tasks": 1})[0]["id"] == urgent


@pytest.mark.parametrize("way", ["update", "retry", "release", "rescue", "dependency", "due"])
def test_a_task_that_becomes_urgent_after_the_mark_has_moved_is_first(
    db: psycopg.Connection, worker: Worker, job: UUID, way: str
) -> None:
    urgent = plan(db, job, priority=7)
    held = worker.claim()
    if way in ("retry", "due"):
        worker.fail(held)
    elif way == "dependency":
        step = one(db, "select step from job_tasks where id = %s", urgent)
        urgent = plan(db, job, step=900_000_001, depends_on=[step], priority=8)
    moved_mark(db, job)
    if way == "update":
        urgent = plan(db, job)
        db.execute("update job_tasks set priority = 7 where id = %s", [urgent])
    elif way == "retry":
        make_due(db)
        worker.tick()
    elif way == "due":
        make_due(db)
        db.execute("select jobsdb.promote_due(10)")
    elif way == "release":
        worker.release(held)
    elif way == "rescue":
        end_leases(db)
        worker.tick()
    else:
        worker.complete(held)
    assert ids(worker.claim(kinds=["research"])) == [urgent]


def test_a_straggler_below_the_mark_is_found(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    """Its place was given out long before it was committed."""
    mark = moved_mark(db, job)
    straggler = plan(db, job)
    db.execute("update job_tasks set pos = %s, rev = rev + 1 where id = %s", [mark - 1, straggler])
    db.execute(
        "update jobsdb.runnable_jobs set marks = jsonb_build_object('research', %s::bigint)", [mark]
    )
    found = [worker.claim(kinds=["research"])[0]["id"] for _ in range(4)]
    assert straggler in found
    assert worker.claim(kinds=["research"]) == []


def test_a_low_priority_does_not_move_the_mark_over_what_is_to_come(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    db.execute("select setval('jobsdb.task_order', 50000)")
    low = plan(db, job, priority=-5)
    db.execute("select jobsdb.move_mark(%s, 'research', true)", [job])
    normal = plan(db, job)
    assert [worker.claim(kinds=["research"])[0]["id"] for _ in range(2)] == [normal, low]


# ---------------------------------------------------------------------------------------- fairness


def test_nobody_waits_behind_the_many_tasks_of_another(
    db: psycopg.Connection, worker: Worker
) -> None:
    for _ in range(20):
        plan_many(db, new_job(db, A), 1_000)
    small = new_job(db, B)
    for options in (WAYS["one of one kind"], WAYS["one"]):
        plan_many(db, small, 10)
        worker.conn.execute("select setseed(0.25)")
        claimed = list(itertools.chain(*(worker.claim(**options) for _ in range(40))))
        # Half of the claims belong to each; in the turn of jobs it would be one in twenty-one.
        assert sum(t["org_id"] == B for t in claimed) == 10
        assert sum(t["org_id"] == A for t in claimed) == 30
    plan_many(db, small, 10)
    worker.conn.execute("select setseed(0.25)")
    batches = [worker.claim(100) for _ in range(12)]
    assert sum(t["org_id"] == B for batch in batches for t in batch) == 10
    for options in (WAYS["one of one kind"], WAYS["one"]):
        plan_many(db, small, 10)
        held = worker.claim(kinds=["research"], org_id=A)
        worker.conn.execute("select setseed(0.5)")
        seen = 0
        for _ in range(45):
            held = worker.next(held, **options)
            seen += held[0]["org_id"] == B
        assert seen == 10


# -------------------------------------------------------------------------------- whose, which run


@each_way
def test_a_claim_for_an_organisation_takes_nothing_of_another(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    mine, foreign = plan(db, job), plan(db, new_job(db, B))
    assert worker.claim(org_id=UNKNOWN, **options) == []
    assert ids(worker.claim(org_id=B, **options)) == [foreign]
    assert worker.claim(org_id=B, **options) == []
    assert ids(worker.claim(org_id=A, **options)) == [mine]


def new_run(db: psycopg.Connection, org: UUID = A, job: UUID | None = None) -> UUID:
    return one(db, "insert into agent_runs (org_id, job_id) values (%s, %s) returning id", org, job)


@each_way
def test_a_claim_links_its_run_to_the_job(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    linked = "select job_id from agent_runs where id = %s"
    run = new_run(db)
    assert worker.claim(run_id=run, **options) == []
    assert one(db, linked, run) is None
    for made in (job, job, new_job(db), new_job(db)):
        plan(db, made)
    foreign = plan(db, new_job(db, B))
    first = worker.claim(run_id=run, **options)
    its_job = one(db, linked, run)
    assert {t["job_id"] for t in first} == {its_job}
    rest = [*worker.claim(9, run_id=run), *worker.claim(9, run_id=run)]
    assert {t["job_id"] for t in rest} <= {its_job}
    assert len(first) + len(rest) == (2 if its_job == job else 1)
    assert worker.claim(9, org_id=B, run_id=run) == []
    assert status(db, foreign) == "pending"
    assert ids(worker.claim(run_id=new_run(db, B), **options)) == [foreign]


def test_a_run_that_is_linked_gets_tasks_of_its_job_only(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan(db, new_job(db))
    run = new_run(db, A, job)
    assert worker.claim(9, run_id=run) == []
    mine = [plan(db, job), plan(db, job)]
    held = worker.claim(kinds=["research"], run_id=run)
    held = [*held, *worker.next(held, run_id=run, max_tasks=9)]
    assert ids(held) == mine


def test_an_unknown_run_is_refused_and_nothing_is_done(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 2)
    held = worker.claim()
    with refused(worker.conn, "JB020", f'run "{UNKNOWN}" was not found'):
        worker.claim(run_id=UNKNOWN, kinds=["research"])
    with refused(worker.conn, "JB020", f'run "{UNKNOWN}" was not found'):
        worker.next(held, run_id=UNKNOWN)
    assert status(db, held[0]["id"]) == "running"
    assert running(db, job) == 1


# ------------------------------------------------------------------------------ time, dependencies


@each_way
def test_scheduled_tasks_become_due_without_a_tick(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    later = one(db, "select clock_timestamp() + interval '1 hour'")
    made = [plan(db, job, scheduled_for=later)]
    made.append(plan(db, job, input=Jsonb({"scheduled_for": later.isoformat()})))
    past = plan(db, job, scheduled_for=one(db, "select now() - interval '1 hour'"))
    assert ids(worker.claim(**options)) == [past]
    assert worker.claim(**options) == []
    assert {task(db, t)["waits_until"] for t in made} == {later}
    make_due(db)
    found = worker.claim(**options)
    if len(found) == 1:
        found += worker.claim(**options)
    assert sorted(ids(found)) == sorted(made)
    assert worker.claim(**options) == []


def test_what_is_due_does_not_starve_behind_a_queue_that_never_ends(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    """A worker that always finds something still looks now and then."""
    due = plan(db, job, scheduled_for=one(db, "select now() + interval '1 hour'"), priority=1)
    lost = plan(db, job, priority=1)
    worker.claim(kinds=["research"], lease="1 hour")
    make_due(db)
    end_leases(db)
    plan_many(db, job, 1_500)
    worker.conn.execute("select setseed(0.1)")
    held = worker.claim(kinds=["research"])
    for _ in range(1_000):
        if {status(db, due), status(db, lost)} <= {"running", "done"} and task(db, lost)[
            "attempt"
        ] > 1:
            break
        held = worker.next(held, kinds=["research"])
    assert task(db, lost)["attempt"] == 2
    assert task(db, due)["attempt"] == 1


@each_way
@pytest.mark.parametrize("ending", ["complete", "next"])
def test_the_end_of_a_step_makes_its_dependents_claimable(
    db: psycopg.Connection, worker: Worker, job: UUID, ending: str, options: dict[str, Any]
) -> None:
    made = [
        plan(db, job, batch=1, step=s, depends_on=d)
        for s, d in ((1, []), (2, []), (3, [1, 2]), (4, [3]), (5, None))
    ]
    foreign = plan(db, job, batch=2, step=9, depends_on=[], priority=-1)
    done: list[int] = []
    held = worker.claim(**options)
    while held and held[0]["id"] is not None:
        done += ids(held)
        if ending == "complete":
            assert worker.complete(held) == ["ok"] * len(held)
            held = worker.claim(**options)
        else:
            count = len(held)
            held = worker.next(held, **options)
            assert held[0]["verdicts"] == ["ok"] * count
        stepping_order(db)
    assert sorted(done[:2]) == made[:2] or options.get("max_tasks")
    assert sorted(done) == sorted([*made, foreign])
    assert [t for t in done if t in made[2:]] == made[2:]
    assert counters(db, job) == {"tasks_total": 6, "tasks_done": 6}


def stepping_order(db: psycopg.Connection) -> None:
    """No step is claimable or running before those it names are done."""
    too_early = """
    select t.id
    from job_tasks as t
    inner join job_tasks as u
    on u.job_id = t.job_id and u.batch = t.batch and u.step = any(t.depends_on)
    where (t.pos is not null or t.status = 'running') and u.status not in ('done', 'skipped')
    """
    assert column(db, too_early) == []


@pytest.mark.parametrize("end", ["fail", "release", "rescue", "error"])
def test_nothing_but_done_and_skipped_releases(
    db: psycopg.Connection, worker: Worker, job: UUID, end: str
) -> None:
    first = plan(db, job, step=900_000_001)
    after = plan(db, job, step=900_000_002, depends_on=[900_000_001])
    held = worker.claim(lease="1 hour")
    if end == "fail":
        worker.fail(held)
    elif end == "error":
        worker.fail(held, retry=False)
    elif end == "release":
        worker.release(held)
    else:
        end_leases(db)
        worker.tick()
    assert task(db, after)["waits_on"] == 900_000_001
    db.execute("update job_tasks set status = 'skipped' where id = %s", [first])
    assert ids(worker.claim()) == [after]


# --------------------------------------------------------------------------------- complete, fences


@pytest.mark.parametrize("count", [1, 2, 30])
def test_outputs_and_errors_go_with_their_tasks(
    db: psycopg.Connection, worker: Worker, job: UUID, count: int
) -> None:
    plan_many(db, job, 2 * count)
    kept = "select output, error_message from job_tasks where id = %s"
    held = list(reversed(worker.claim(count)))
    outputs = [Jsonb({"n": t["id"]}) if n % 2 == 0 else None for n, t in enumerate(held)]
    assert worker.complete(held, outputs=outputs) == ["ok"] * count
    for n, t in enumerate(held):
        assert row(db, kept, t["id"])["output"] == ({"n": t["id"]} if n % 2 == 0 else None)
    held = list(reversed(worker.claim(count)))
    errors = [f"broken {t['id']}" if n % 2 == 0 else None for n, t in enumerate(held)]
    assert worker.fail(held, errors=errors, retry=False) == ["ok"] * count
    for n, t in enumerate(held):
        expected = f"broken {t['id']}" if n % 2 == 0 else None
        assert row(db, kept, t["id"])["error_message"] == expected
    assert leases(db) == 0
    assert counters(db, job) == {
        "tasks_total": 2 * count,
        "tasks_done": count,
        "tasks_error": count,
    }


def test_an_end_stamps_the_task_and_takes_the_lease(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    for function in (worker.complete, lambda t: worker.fail(t, retry=False)):
        plan(db, job)
        held = worker.claim()
        started = task(db, held[0]["id"])["started_at"]
        assert function(held) == ["ok"]
        ended = task(db, held[0]["id"])
        assert ended["started_at"] == started < ended["finished_at"]
        assert (ended["lease_token"], ended["lease_expires_at"], ended["locked_by"]) == (None,) * 3


def test_a_part_of_a_batch_may_end_and_the_rest_stays_held(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 6)
    held = worker.claim(6)
    assert worker.complete(held[:1]) == ["ok"]
    assert worker.release(held[1:2]) == ["ok"]
    assert worker.fail(held[2:3], retry=False) == ["ok"]
    assert worker.heartbeat(held) == ["revoked"] * 3 + ["ok"] * 3
    assert running(db, job) == 3
    assert worker.complete(held) == ["revoked"] * 3 + ["ok"] * 3
    assert running(db, job) == 0
    assert worker.tick()["rescued"] == 0


class Holder:
    """One lease over tasks to which everything has happened that can."""

    def __init__(self, db: psycopg.Connection, worker: Worker) -> None:
        jobs = {name: new_job(db) for name in ("good", "paused", "cancelled", "failed", "gone")}
        made = {name: plan(db, made) for name, made in jobs.items()}
        for name in (
            "done",
            "plain done",
            "plain pending",
            "plain error",
            "plain skipped",
            "plain restarted",
            "retried",
            "rescued",
            "released",
            "deleted",
            "last",
        ):
            made[name] = plan(db, jobs["good"])
        held = {t["id"]: t for t in worker.claim(100, lease="1 hour")}
        assert sorted(held) == sorted(made.values())
        self.tasks = {name: held[made[name]] for name in made}
        self.token = self.tasks["good"]["lease_token"]
        self.jobs = jobs
        pause(db, jobs["paused"])
        move_job(db, jobs["cancelled"], "cancelled")
        move_job(db, jobs["failed"], "failed")
        db.execute("delete from jobs where id = %s", [jobs["gone"]])
        worker.complete([self.tasks["done"]])
        worker.release([self.tasks["released"]])
        with as_tenant(db, A):
            for way in ("done", "pending", "error", "skipped"):
                move_task(db, made[f"plain {way}"], way)
            move_task(db, made["plain restarted"], "pending")
            move_task(db, made["plain restarted"], "running")
            move_task(db, made["retried"], "error")
            move_task(db, made["retried"], "pending")
        db.execute("delete from job_tasks where id = %s", [made["deleted"]])
        db.execute(
            "update job_tasks set lease_expires_at = now() - interval '1 s', rev = rev + 1"
            " where id = %s",
            [made["rescued"]],
        )
        db.execute("update jobsdb.leases set look_at = now() where token = %s", [self.token])
        assert worker.tick()["rescued"] == 1
        self.expected = {
            "good": "ok",
            "last": "ok",
            "paused": "paused",
            "cancelled": "cancelled",
            "failed": "cancelled",
            "deleted": "not_found",
            "gone": "not_found",
        }

    def verdicts(self) -> list[str]:
        return [self.expected.get(name, "revoked") for name in self.tasks]


@pytest.mark.parametrize("function", [*VERDICT_FUNCTIONS, "complete_and_claim"])
def test_every_task_gets_its_verdict_by_position(
    db: psycopg.Connection, worker: Worker, function: str
) -> None:
    holder = Holder(db, worker)
    before = {name: t["id"] for name, t in holder.tasks.items()}
    task_ids = [*before.values(), UNKNOWN_TASK, -1]
    more = (
        {"worker": "w", "outputs": None, "max_tasks": 0} if function == "complete_and_claim" else {}
    )
    unchanged = (
        "select id, status, lease_token, retry_count, output, error_message, finished_at, attempt"
        " from job_tasks where not id = any(%s) order by id"
    )
    meant = [before[name] for name in ("good", "last", "paused")]
    was = db.execute(unchanged, [meant]).fetchall()
    (result,) = worker.call(function, task_ids=task_ids, lease_token=holder.token, **more)
    verdicts = result["verdicts" if more else function]
    assert verdicts == [*holder.verdicts(), "not_found", "not_found"]
    assert db.execute(unchanged, [meant]).fetchall() == was
    end = {"heartbeat_tasks": "running", "fail_tasks": "pending", "release_tasks": "pending"}
    assert {status(db, t) for t in meant} == {end.get(function, "done")}
    # The same again: whoever has let go holds nothing.
    (result,) = worker.call(function, task_ids=meant, lease_token=holder.token, **more)
    again = ["ok", "ok", "paused"] if function == "heartbeat_tasks" else ["revoked"] * 3
    assert result["verdicts" if more else function] == again


@pytest.mark.parametrize("function", VERDICT_FUNCTIONS)
@pytest.mark.parametrize(
    "what",
    [
        "good",
        "paused",
        "cancelled",
        "failed",
        "gone",
        "done",
        "plain done",
        "plain pending",
        "rescued",
        "released",
        "retried",
    ],
)
def test_a_single_task_gets_the_same_verdict(
    db: psycopg.Connection, worker: Worker, function: str, what: str
) -> None:
    holder = Holder(db, worker)
    held = {"task_ids": [holder.tasks[what]["id"]], "lease_token": holder.token}
    assert worker.value(function, **held) == [holder.expected.get(what, "revoked")]


@pytest.mark.parametrize("token", [None, UNKNOWN, "other"])
@pytest.mark.parametrize("function", VERDICT_FUNCTIONS)
def test_a_wrong_token_does_nothing(
    db: psycopg.Connection, worker: Worker, job: UUID, function: str, token: Any
) -> None:
    plan(db, job)
    foreign = plan(db, new_job(db, B))
    mine, theirs = worker.claim(org_id=A), worker.claim(org_id=B)
    lease_token = theirs[0]["lease_token"] if token == "other" else token
    was = task(db, mine[0]["id"])
    assert worker.value(function, task_ids=ids(mine), lease_token=lease_token) == ["revoked"]
    assert task(db, mine[0]["id"]) == was
    assert status(db, foreign) == "running"
    if token == "other":
        both = [*ids(mine), foreign]
        verdicts = worker.value(function, task_ids=both, lease_token=lease_token)
        assert verdicts == ["revoked", "ok"]
        assert task(db, mine[0]["id"]) == was


# ----------------------------------------------------------------------------- complete_and_claim


@pytest.mark.parametrize("options", [WAYS["one of one kind"], WAYS["one"]], ids=["fast", "in turn"])
def test_a_busy_worker_does_all_and_is_told_the_rest(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    made = [plan(db, job) for _ in range(4)]
    held = worker.claim(**options)
    for n in range(1, 4):
        held = worker.next(held, [Jsonb({"n": n})], **options)
        assert (ids(held), held[0]["verdicts"]) == ([made[n]], ["ok"])
        assert leases(db) == 1
    (last,) = worker.next(held, **options)
    assert last["verdicts"] == ["ok"]
    assert {v for k, v in last.items() if k != "verdicts"} == {None}
    assert leases(db) == 0
    assert counters(db, job) == {"tasks_total": 4, "tasks_done": 4}
    (empty,) = worker.call(
        "complete_and_claim", task_ids=[], lease_token=None, outputs=None, worker="w"
    )
    assert (empty["id"], empty["verdicts"]) == (None, [])


def test_a_busy_worker_in_batches(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    plan_many(db, job, 25)
    held = worker.claim(10)
    sizes, tokens = [], set()
    while held[0]["id"] is not None:
        sizes.append(len(held))
        tokens.add(held[0]["lease_token"])
        count = len(held)
        held = worker.next(held, [Jsonb({})] * count, max_tasks=10)
        assert all(t["verdicts"] == ["ok"] * count for t in held)
    assert (sizes, len(tokens)) == ([10, 10, 5], 3)
    assert leases(db) == 0


def test_a_token_is_used_again_only_when_no_copy_of_it_can_matter(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    kinds = WAYS["one of one kind"]
    plan_many(db, job, 20)
    first = worker.claim(**kinds)
    second = worker.next(first, **kinds)
    assert second[0]["lease_token"] == first[0]["lease_token"]
    # The stale copy names the old task, which has ended.
    assert worker.heartbeat(first) == worker.complete(first) == ["revoked"]
    assert worker.fail(first) == worker.release(first) == ["revoked"]
    assert status(db, second[0]["id"]) == "running"
    # Of a batch: others may still be held with it.
    batch = worker.claim(3)
    third = worker.next(batch[:1], **kinds)
    assert third[0]["lease_token"] != batch[0]["lease_token"]
    fourth = worker.next(batch[1:], **kinds)
    assert fourth[0]["lease_token"] != batch[0]["lease_token"]
    # Not held any more: whoever has it now must not meet the old one again.
    end_leases(db)
    worker.tick()
    fifth = worker.next(second, **kinds)
    assert fifth[0]["verdicts"] == ["revoked"]
    assert fifth[0]["lease_token"] not in {t[0]["lease_token"] for t in (second, third, fourth)}
    # A claim of several is always of version 8.
    sixth = worker.next(fifth, max_tasks=2)
    assert sixth[0]["lease_token"].version == 8
    assert sixth[0]["lease_token"] != fifth[0]["lease_token"]


def test_a_batch_of_one_does_not_lend_its_token(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan(db, job)
    batch = worker.claim(5)
    assert len(batch) == 1
    plan_many(db, job, 2)
    later = worker.next(batch, kinds=["research"])
    assert later[0]["lease_token"] != batch[0]["lease_token"]
    assert worker.complete(later) == ["ok"]
    end_leases(db)
    worker.tick()
    assert leases(db) == 0


def test_the_token_goes_along_to_another_job(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    other = new_job(db, B)
    plan(db, job)
    held = worker.claim(kinds=["research"])
    plan(db, other)
    later = worker.next(held, kinds=["research"])
    assert later[0]["job_id"] == other
    assert column(db, "select job_id from jobsdb.leases") == [other]
    assert worker.complete(later) == ["ok"]
    assert leases(db) == 0


# ------------------------------------------------------------------------------------- fail, retry


def test_pauses_grow_and_are_spread(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    db.execute("update jobsdb.task_kinds set backoff = '100 s', backoff_limit = '700 s'")
    made = plan(db, job, max_retries=6)
    seen = []
    for n, longest in enumerate((100, 200, 400, 700, 700, 700), 1):
        held = worker.claim()
        assert (held[0]["retry_count"], held[0]["attempt"]) == (n - 1, n)
        assert worker.fail(held, errors=[f"failure {n}"]) == ["ok"]
        wait = row(
            db,
            "select extract(epoch from waits_until - clock_timestamp())::float8 as seconds,"
            " status, retry_count, error_message, started_at, finished_at from job_tasks"
            " where id = %s",
            made,
        )
        assert longest / 2 - 5 < wait["seconds"] <= longest
        assert (wait["status"], wait["retry_count"]) == ("pending", n)
        assert (wait["started_at"], wait["finished_at"]) == (None, None)
        assert wait["error_message"] == f"failure {n}"
        assert worker.claim() == []
        seen.append(wait["seconds"] / longest)
        make_due(db)
    assert len({round(s, 3) for s in seen}) > 3, "what failed together comes back together"
    held = worker.claim()
    assert worker.fail(held, errors=["enough"]) == ["ok"]
    last = task(db, made)
    assert (last["status"], last["retry_count"], last["error_message"]) == ("error", 6, "enough")
    assert counters(db, job) == {"tasks_total": 1, "tasks_error": 1}
    assert worker.claim() == []


def test_kinds_have_retries_and_pauses_of_their_own(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    db.execute(
        "update jobsdb.task_kinds set max_retries = 1, backoff = '1 day', backoff_limit = '2 days'"
        " where kind = 'follow_up'"
    )
    plain = plan(db, job)
    rare = plan(db, job, kind="follow_up")
    own = plan(db, job, kind="follow_up", max_retries=0)
    assert [task(db, t)["max_retries"] for t in (plain, rare, own)] == [3, 1, 0]
    assert worker.fail(worker.claim(9)) == ["ok"] * 3
    wait = "select extract(epoch from waits_until - clock_timestamp()) from job_tasks where id = %s"
    assert 4 < one(db, wait, plain) <= 10
    assert 43_000 < one(db, wait, rare) <= 86_400
    assert status(db, own) == "error"
    make_due(db)
    held = sorted(worker.claim(9), key=lambda t: t["id"])
    assert worker.fail(held) == ["ok"] * 2
    assert [status(db, t) for t in (plain, rare)] == ["pending", "error"]


def test_a_worker_may_say_that_there_is_no_use_in_a_retry(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 3)
    held = worker.claim(3)
    assert worker.fail(held[:1], retry=False, errors=["no such contact"]) == ["ok"]
    assert worker.fail(held[1:2], retry=None) == ["ok"]
    assert worker.fail(held[2:]) == ["ok"]
    assert [status(db, t) for t in ids(held)] == ["error", "pending", "pending"]
    assert task(db, held[0]["id"])["retry_count"] == 0


def test_what_waits_for_a_retry_comes_back_without_a_tick(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan(db, job)
    held = worker.claim()
    worker.fail(held)
    assert worker.claim() == []
    make_due(db)
    again = worker.claim()
    assert (ids(again), again[0]["attempt"], again[0]["retry_count"]) == (ids(held), 2, 1)


def test_a_long_error_is_cut(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    plan(db, job)
    held = worker.claim()
    assert worker.fail(held, errors=["é" * 1_000_000], retry=False) == ["ok"]
    assert task(db, held[0]["id"])["error_message"] == "é" * 10_000


def test_a_release_is_no_retry(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    made = [plan(db, job), plan(db, job)]
    held = worker.claim()
    assert worker.release(held) == ["ok"]
    kept = task(db, made[0])
    assert (kept["status"], kept["retry_count"], kept["started_at"]) == ("pending", 0, None)
    assert ids(worker.claim()) == made[1:], "behind those who have waited meanwhile"
    again = worker.claim()
    assert (ids(again), again[0]["attempt"], again[0]["retry_count"]) == (made[:1], 2, 0)


def test_retry_job_gives_all_errors_a_new_beginning(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    later = one(db, "select now() + interval '1 hour'")
    made = [
        plan(db, job, step=s, batch=5, max_retries=0, depends_on=d)
        for s, d in ((1, []), (2, [1]), (3, []), (4, []))
    ]
    db.execute("update job_tasks set scheduled_for = %s where id = %s", [later, made[3]])
    foreign = new_task(db, new_job(db), "error")
    held = worker.claim(2)
    assert ids(held) == [made[0], made[2]]
    worker.fail(held)
    move_task(db, made[1], "error")
    move_task(db, made[3], "error")
    db.execute("update job_tasks set retry_count = 7 where id = %s", [made[0]])
    assert counters(db, job) == {"tasks_total": 4, "tasks_error": 4}
    assert worker.value("retry_job", job_id=job) == 4
    assert counters(db, job) == {"tasks_total": 4}
    assert worker.value("retry_job", job_id=job) == 0
    assert [task(db, t)["retry_count"] for t in made] == [0] * 4
    assert task(db, made[1])["waits_on"] == 1
    assert task(db, made[3])["waits_until"] == later
    assert ids(worker.claim(9)) == [made[0], made[2]]
    assert status(db, foreign) == "error"


def test_retry_job_of_an_unknown_or_finished_job_is_refused(
    db: psycopg.Connection, worker: Worker
) -> None:
    for unknown in (UNKNOWN, None):
        with refused(worker.conn, "JB020", "was not found or is not yours"):
            worker.value("retry_job", job_id=unknown)
    for end in ("succeeded", "failed", "cancelled"):
        made = new_job(db)
        new_task(db, made, "error")
        move_job(db, made, end)
        with refused(worker.conn, "JB040", "its tasks cannot be tried again") as info:
            worker.value("retry_job", job_id=made)
        assert info.value.diag.message_detail == f'Job "{made}" is {end}.'
    paused = new_job(db)
    new_task(db, paused, "error")
    pause(db, paused)
    assert worker.value("retry_job", job_id=paused) == 1


# ------------------------------------------------------------------------------------------ rescue


@each_way
def test_a_dead_workers_tasks_come_back_without_a_tick(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    plan_many(db, job, 2)
    held = worker.claim(2, worker="dead one")
    assert len(held) == 2
    assert worker.claim(**options) == []
    end_leases(db)
    back = worker.claim(**options)
    if len(back) == 1:
        back += worker.claim(**options)
    assert sorted(ids(back)) == sorted(ids(held))
    assert [(t["attempt"], t["retry_count"]) for t in back] == [(2, 1)] * 2
    assert held[0]["lease_token"] not in [t["lease_token"] for t in back]
    message = task(db, held[0]["id"])["error_message"]
    assert message.startswith("lost with its worker dead one: the lease ended at ")
    assert worker.complete(held) == worker.heartbeat(held) == ["revoked"] * 2
    assert worker.fail(held) == worker.release(held) == ["revoked"] * 2
    assert running(db, job) == 2


def test_time_alone_brings_everything_back(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    """The only test that really waits: for a lease, a pause and a date."""
    db.execute("update jobsdb.task_kinds set backoff = '0.3 s'")
    made = [plan(db, job), plan(db, job)]
    worker.claim(lease="0.3 s")
    worker.fail(worker.claim())
    soon = one(db, "select clock_timestamp() + interval '0.3 s'")
    made.append(plan(db, job, scheduled_for=soon))
    found: set[int] = set()
    assert eventually(lambda: found.update(ids(worker.claim(9))) or len(found) == 3)
    assert found == set(made)
    assert one(db, "select clock_timestamp()") >= soon


def test_a_lease_that_has_not_ended_is_not_taken(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    """Whatever the row of the lease says: the task's own row is asked."""
    plan(db, job)
    held = worker.claim()
    db.execute("update jobsdb.leases set look_at = '-infinity'")
    assert worker.tick()["rescued"] == 0
    assert worker.complete(held) == ["ok"]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_task_that_is_lost_too_often_ends_in_error(
    db: psycopg.Connection, worker: Worker, job: UUID, retries: int
) -> None:
    made = plan(db, job, max_retries=retries)
    for n in range(retries + 1):
        (held,) = worker.claim(worker=f"w{n}")
        assert (held["retry_count"], held["attempt"]) == (n, n + 1)
        end_leases(db)
        assert worker.tick()["rescued"] == 1
        lost = task(db, made)
        assert f"lost with its worker w{n}: the lease ended at " in lost["error_message"]
        assert f"for the {n + 1}. time" in lost["error_message"]
    assert (lost["status"], lost["retry_count"]) == ("error", retries)
    assert lost["started_at"] < lost["finished_at"]
    assert counters(db, job) == {"tasks_total": 1, "tasks_error": 1}
    assert worker.claim() == []
    assert worker.value("retry_job", job_id=job) == 1
    assert ids(worker.claim()) == [made]


@pytest.mark.parametrize("end", ["cancelled", "failed"])
@pytest.mark.parametrize("how", ["rescue", "finish"])
def test_a_straggler_in_a_finished_job_is_skipped(
    db: psycopg.Connection, worker: Worker, job: UUID, end: str, how: str
) -> None:
    plan_many(db, job, 1_010)
    held = worker.claim(3)
    assert worker.complete(held[:1]) == ["ok"]
    move_job(db, job, end)
    assert [status(db, t) for t in ids(held)] == ["done", "running", "running"]
    expected = {"tasks_total": 1_010, "tasks_done": 1, "tasks_skipped": 1_009}
    assert counters(db, job) == expected
    assert running(db, job) == 0
    assert worker.claim(9) == []
    if how == "rescue":
        end_leases(db)
        assert one(db, "select jobsdb.rescue_tasks()") == 2
        assert [status(db, t) for t in ids(held)] == ["done", "skipped", "skipped"]
        assert task(db, held[1]["id"])["error_message"] is None
        assert worker.complete(held[1:]) == ["cancelled"] * 2
    else:
        assert worker.heartbeat(held) == ["cancelled"] * 3
        assert worker.complete(held[1:]) == ["cancelled"] * 2
        assert worker.fail(held[1:]) == worker.release(held[1:]) == ["cancelled"] * 2
        (told,) = worker.next(held[1:2], kinds=["research"])
        assert (told["id"], told["verdicts"]) == (None, ["cancelled"])
        assert [status(db, t) for t in ids(held)] == ["done", "running", "running"]
        assert worker.tick()["skipped"] == 9
    assert counters(db, job) == expected
    worker.tick()
    assert one(db, "select count(*) from job_tasks where status = 'skipped'") == 1_009
    assert counters(db, job) == expected


def test_a_heartbeat_keeps_the_tasks_it_names_and_no_other(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 4)
    held = worker.claim(4)
    end_leases(db)
    assert worker.heartbeat(held[:2], lease="2 minutes") == ["ok"] * 2
    assert worker.tick()["rescued"] == 2
    assert [status(db, t) for t in ids(held)] == ["running", "running", "pending", "pending"]
    assert worker.heartbeat(held) == ["ok", "ok", "revoked", "revoked"]
    assert worker.tick()["rescued"] == 0
    end_leases(db)
    assert worker.tick()["rescued"] == 2
    assert leases(db) == 0


def test_a_heartbeat_after_the_end_of_the_lease_still_wins_when_it_is_first(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan(db, job)
    held = worker.claim()
    end_leases(db)
    assert worker.heartbeat(held) == ["ok"]
    assert worker.claim() == []
    assert worker.tick()["rescued"] == 0
    end_leases(db)
    assert worker.complete(held) == ["ok"]


def test_a_heartbeat_counts_from_now(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    plan(db, job)
    held = worker.claim(lease="1 hour")
    left = "select extract(epoch from lease_expires_at - clock_timestamp())::int from job_tasks"
    assert 3_500 < one(db, left) <= 3_600
    assert worker.heartbeat(held) == ["ok"]
    assert 50 < one(db, left) <= 60
    assert worker.heartbeat(held, lease="1 day") == ["ok"]
    assert 86_000 < one(db, left) <= 86_400


@pytest.mark.parametrize("written", ["max_retries = null", "retry_count = 2147483647"])
def test_what_a_tenant_writes_into_a_lost_task_stops_nobody(
    db: psycopg.Connection, worker: Worker, job: UUID, written: str
) -> None:
    """One bad task must not keep the lost tasks of everybody from coming back."""
    plan(db, job)
    foreign = plan(db, new_job(db, B))
    assert len(worker.claim(2)) == 2
    with as_tenant(db, A):
        db.execute(f"update job_tasks set {written}")
    end_leases(db)
    try:
        assert ids(worker.claim(org_id=B)) == [foreign]
        assert worker.tick()["rescued"] == 0
    finally:
        db.execute("update job_tasks set max_retries = 3, retry_count = 0")


def test_what_a_tenant_writes_into_a_task_does_not_keep_others_from_failing(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan(db, job)
    plan(db, new_job(db, B))
    held = worker.claim(2)
    with as_tenant(db, A):
        db.execute("update job_tasks set retry_count = -5000")
    assert worker.fail(held) == ["ok", "ok"]


def test_a_task_without_max_retries_is_tried_as_often_as_its_kind_says(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan(db, job)
    held = worker.claim()
    worker.conn.execute("update job_tasks set max_retries = null")
    for n in range(3):
        assert worker.fail(held) == ["ok"]
        make_due(db)
        held = worker.claim()
        assert held[0]["retry_count"] == n + 1
    assert worker.fail(held) == ["ok"]
    assert status(db, held[0]["id"]) == "error"


def test_a_shorter_lease_ends_sooner(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    plan(db, job)
    held = worker.claim(lease="1 day")
    assert worker.heartbeat(held, lease="0.1 seconds") == ["ok"]
    time.sleep(0.2)
    assert worker.tick()["rescued"] == 1


# -------------------------------------------------------------------------- plain SQL and workers


@each_way
def test_a_task_started_by_plain_sql_is_counted_and_never_taken(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    made = plan(db, job)
    with as_tenant(db, A):
        move_task(db, made, "running")
    assert running(db, job) == 1
    assert task(db, made)["lease_expires_at"] is None
    end_leases(db)
    assert worker.claim(**options) == []
    assert worker.tick()["rescued"] == 0
    assert status(db, made) == "running"
    with as_tenant(db, A):
        move_task(db, made, "done")
    assert (running(db, job), leases(db)) == (0, 0)


def test_plain_sql_beats_the_worker(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    plan_many(db, job, 2)
    for options in WAYS.values():
        for move in ("error", "pending"):
            held = worker.claim(**options)
            with as_tenant(db, A):
                for t in ids(held):
                    move_task(db, t, move)
            assert worker.heartbeat(held) == ["revoked"] * len(held)
            with as_tenant(db, A):
                db.execute("update job_tasks set status = 'pending' where status = 'error'")
            again = worker.claim(2)
            assert len(again) == 2
            assert worker.complete(held) == ["revoked"] * len(held)
            assert worker.heartbeat(again) == ["ok"] * 2
            assert worker.release(again) == ["ok"] * 2


def test_changes_that_are_no_move_leave_the_lease(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    made = plan(db, job)
    held = worker.claim()
    with as_tenant(db, A):
        db.execute(
            "update job_tasks set priority = 5, output = '{}', error_message = 'half',"
            " status = 'running', scheduled_for = now() + interval '1 hour' where id = %s",
            [made],
        )
    assert worker.heartbeat(held) == ["ok"]
    assert worker.complete(held) == ["ok"]


def test_a_change_of_priority_does_not_end_the_pause_before_a_retry(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    made = plan(db, job)
    worker.fail(worker.claim())
    before = task(db, made)["waits_until"]
    with as_tenant(db, A):
        db.execute("update job_tasks set priority = 5 where id = %s", [made])
    assert task(db, made)["waits_until"] == before
    assert worker.claim() == []


# ---------------------------------------------------------------------------------- pause, cancel


@each_way
def test_nothing_of_a_paused_job_is_claimed(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    plan_many(db, job, 2)
    pause(db, job)
    assert worker.claim(**options) == []
    other = plan(db, new_job(db))
    assert ids(worker.claim(**options)) == [other]
    assert worker.claim(**options) == []
    db.execute("select public.resume_job(%s)", [job])
    assert worker.claim(**options)[0]["job_id"] == job


@each_way
def test_what_is_done_in_a_paused_job_counts(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    first = plan(db, job, step=900_000_001)
    after = plan(db, job, step=900_000_002, depends_on=[900_000_001])
    held = worker.claim(**options)
    pause(db, job)
    assert worker.heartbeat(held) == ["paused"]
    end = worker.next(held, [Jsonb({"x": 1})], **options)
    assert (end[0]["id"], end[0]["verdicts"]) == (None, ["paused"])
    assert (status(db, first), task(db, first)["output"]) == ("done", {"x": 1})
    assert counters(db, job) == {"tasks_total": 2, "tasks_done": 1}
    assert worker.claim(**options) == []
    db.execute("select public.resume_job(%s)", [job])
    assert ids(worker.claim(**options)) == [after]


def test_leases_end_in_a_paused_job_as_well(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    made = plan(db, job)
    held = worker.claim()
    pause(db, job)
    end_leases(db)
    assert worker.tick()["rescued"] == 1
    assert status(db, made) == "pending"
    assert worker.claim() == []
    assert worker.complete(held) == ["revoked"]


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_worker_hears_of_a_cancel_and_nothing_is_counted_twice(
    db: psycopg.Connection, worker: Worker, job: UUID, end: str
) -> None:
    plan_many(db, job, 5)
    held = worker.claim(4)
    assert worker.complete(held[:1]) == ["ok"]
    assert worker.fail(held[1:2], retry=False) == ["ok"]
    move_job(db, job, end)
    expected = {"tasks_total": 5, "tasks_done": 1, "tasks_error": 1, "tasks_skipped": 3}
    for _ in range(2):
        assert counters(db, job) == expected
        assert worker.heartbeat(held[2:]) == ["cancelled"] * 2
        assert worker.complete(held[2:]) == ["cancelled"] * 2
        assert worker.fail(held[2:], retry=False) == ["cancelled"] * 2
        assert worker.release(held[2:]) == ["cancelled"] * 2
        end_leases(db)
        worker.tick()
    assert [status(db, t) for t in ids(held)] == ["done", "error", "skipped", "skipped"]
    assert leases(db) == 0


def test_a_job_ends_when_its_workers_say_so(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 2)
    held = worker.claim(2)
    worker.complete(held[:1])
    with refused(worker.conn, "JB040"):
        worker.conn.execute("select public.transition_job_status(%s, 'succeeded')", [job])
    worker.complete(held[1:])
    worker.conn.execute("select public.transition_job_status(%s, 'succeeded')", [job])
    assert worker.claim() == []
    assert worker.complete(held) == ["revoked"] * 2


# ------------------------------------------------------------------------------------------ limits


def limit(worker: Worker, **limits: Any) -> None:
    given = {"org_id": A, **limits}
    named = ", ".join(f"{name} => %({name})s" for name in given)
    worker.conn.execute(f"select jobsdb.limit_work({named})", given)


@each_way
def test_no_more_than_allowed_run_at_once(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    other = new_job(db)
    plan_many(db, job, 5)
    plan_many(db, other, 5)
    limit(worker, kind="research", max_running=3)
    held: list[dict[str, Any]] = []
    while more := worker.claim(**options):
        held += more
    assert len(held) == 3
    free = plan(db, new_job(db, B))
    assert ids(worker.claim(**options)) == [free]
    assert worker.complete(held[:1]) == ["ok"]
    again = worker.claim(**options)
    assert len(again) == 1
    assert worker.claim(**options) == []
    (told,) = worker.next(again, **options)
    assert (told["id"] is not None, told["verdicts"]) == (True, ["ok"])
    limit(worker, kind="research")
    assert len(worker.claim(50)) == 10 - 5


def test_a_limit_for_all_kinds_counts_all_and_plain_sql_too(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 3)
    plan_many(db, job, 3, "follow_up")
    with as_tenant(db, A):
        move_task(db, plan(db, job, kind="create_deal"), "running")
    limit(worker, max_running=3)
    limit(worker, kind="follow_up", max_running=1)
    held = worker.claim(50)
    assert sorted(t["kind"] for t in held) in (["follow_up", "research"], ["research", "research"])
    assert worker.claim(50) == worker.claim(kinds=["follow_up"]) == []
    assert worker.release(held) == ["ok"] * 2
    assert len(worker.claim(50, kinds=["follow_up"])) == 1
    assert len(worker.claim(50)) == 1


def test_a_limit_of_nothing_stops_an_organisation(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    limit(worker, max_running=0)
    plan_many(db, job, 3)
    later = new_job(db)
    plan_many(db, later, 3)
    for options in WAYS.values():
        assert worker.claim(**options) == []
    limit(worker)
    assert len(worker.claim(50)) == 6


@each_way
def test_no_more_than_allowed_start_in_a_window(
    db: psycopg.Connection, worker: Worker, job: UUID, options: dict[str, Any]
) -> None:
    plan_many(db, job, 9)
    limit(worker, max_starts=3, per="1 hour")
    held: list[dict[str, Any]] = []
    while more := worker.claim(**options):
        held += more
    assert len(held) == 3
    for t in held[:2]:
        assert worker.complete([t]) == ["ok"]
    assert worker.claim(**options) == []
    db.execute("update jobsdb.work_limits set window_began_at = now() - interval '1 hour'")
    again: list[dict[str, Any]] = []
    while more := worker.claim(**options):
        again += more
    assert len(again) == 3


def test_a_failed_claim_uses_nothing_up(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    limit(worker, max_starts=2, per="1 hour")
    assert worker.claim() == []
    plan_many(db, job, 3)
    with worker.conn.transaction(force_rollback=True):
        assert len(worker.claim(50)) == 2
    assert len(worker.claim(50)) == 2


def test_tick_notes_limits_at_jobs_that_missed_them(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    """A job that starts while the limit is being set does not see it."""
    limit(worker, max_running=1)
    plan_many(db, job, 3)
    db.execute("update jobsdb.runnable_jobs set is_limited = false")
    worker.tick()
    assert len(worker.claim(50)) == 1
    assert worker.claim(kinds=["research"]) == []


def test_impossible_limits_are_refused(db: psycopg.Connection, worker: Worker) -> None:
    text = "this is no limit of work"
    for bad in (
        {"kind": "nonsense", "max_running": 1},
        {"kind": None, "max_running": 1},
        {"max_running": -1},
        {"max_starts": 1},
        {"per": "1 hour"},
        {"max_starts": -1, "per": "1 hour"},
        {"max_starts": 1, "per": "-1 hour"},
        {"max_starts": 1, "per": "0"},
        {"org_id": None, "max_running": 1},
    ):
        with refused(worker.conn, "JB011", text):
            limit(worker, **bad)
    assert one(db, "select count(*) from jobsdb.work_limits") == 0


# -------------------------------------------------------------------------------------------- tick


def test_tick_does_everything_that_waits_for_somebody(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    db.execute("update jobsdb.metrics_refresh set refreshed_at = now() - interval '6 minutes'")
    plan_many(db, job, 2)
    held = worker.claim(2)
    worker.fail(held[:1])
    make_due(db)
    end_leases(db)
    large = new_job(db)
    plan_many(db, large, 1_003)
    move_job(db, large, "cancelled")
    first = plan(db, job, step=900_000_001)
    plan(db, job, step=900_000_002, depends_on=[900_000_001])
    with worker.conn.transaction():  # an old snapshot leaves a delta and a note
        worker.conn.execute("set transaction isolation level repeatable read")
        worker.conn.execute(
            "insert into job_tasks (job_id, step, kind, depends_on)"
            " values (%s, 900000003, 'research', '{}')",
            [job],
        )
    db.execute(
        "insert into jobsdb.missed_steps (job_id, org_id, batch, step, by_its_end)"
        " values (%s, %s, 0, 900000001, true)",
        [job, A],
    )
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        db.execute(
            "update job_tasks set status = 'done', pos = null, finished_at = now() where id = %s",
            [first],
        )
        db.execute(
            "insert into jobsdb.job_deltas (job_id, org_id, tasks_done) values (%s, %s, 1)",
            [job, A],
        )
        db.execute(
            "insert into jobsdb.task_moves (job_id, org_id, task_ids, done)"
            " values (%s, %s, array[%s::bigint], 1)",
            [job, A, first],
        )
    told = worker.tick()
    assert {n: told[n] for n in ("rescued", "promoted", "released", "skipped")} == {
        "rescued": 1,
        "promoted": 1,
        "released": 1,
        "skipped": 3,
    }
    assert told["folded"] == 1
    fresh = one(db, "select refreshed_at from jobsdb.metrics_refresh")
    assert one(db, "select %s > now() - interval '1 minute'", fresh)
    again = worker.tick()
    assert {again[n] for n in ("rescued", "promoted", "released", "skipped", "folded")} == {0}
    assert again["refreshed_at"] == told["refreshed_at"], "five minutes have not passed"


def test_tick_removes_leases_of_what_is_gone(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    gone = new_job(db)
    raw = plan(db, gone)
    with as_tenant(db, A):
        move_task(db, raw, "running")
    plan_many(db, gone, 2)
    plan(db, job)
    held = worker.claim(2, org_id=A)
    assert len(held) == 2
    db.execute("delete from jobs where id = %s", [gone])
    end_leases(db)
    worker.tick()
    worker.tick()
    assert leases(db) == 0


# ---------------------------------------------------------------------------------- assert_lease


def test_assert_lease_fences_what_is_done_on_behalf_of_a_task(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    plan_many(db, job, 2)
    held, other = worker.claim(), worker.claim()
    mine = {"task_id": held[0]["id"], "lease_token": held[0]["lease_token"]}
    with worker.conn.transaction():
        worker.call("assert_lease", **mine)
        worker.conn.execute(
            "insert into kanban_cards (org_id, job_id, task_id, type, title)"
            " values (%s, %s, %s, 'send_email', 'Hello')",
            [A, job, held[0]["id"]],
        )
    pause(db, job)
    worker.call("assert_lease", **mine)
    refusals = [
        {**mine, "lease_token": other[0]["lease_token"]},
        {**mine, "lease_token": None},
        {**mine, "task_id": UNKNOWN_TASK},
        {**mine, "task_id": None},
    ]
    for arguments in refusals:
        named = "null" if arguments["task_id"] is None else arguments["task_id"]
        with refused(worker.conn, "JB031", f'task "{named}" is not held with this lease'):
            worker.call("assert_lease", **arguments)
    end_leases(db)
    worker.tick()
    with refused(worker.conn, "JB031", "is not held with this lease"):
        worker.call("assert_lease", **mine)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_assert_lease_refuses_in_a_finished_job(
    db: psycopg.Connection, worker: Worker, job: UUID, end: str
) -> None:
    plan_many(db, job, 1_005)
    held = worker.claim()
    move_job(db, job, end)
    assert status(db, held[0]["id"]) == "running"
    with refused(worker.conn, "JB031", "is not held with this lease"):
        worker.call("assert_lease", task_id=held[0]["id"], lease_token=held[0]["lease_token"])


# --------------------------------------------------------------------------------------- bad input

BAD_CLAIMS: list[tuple[str, str, dict[str, Any]]] = [
    ("JB011", '"nonsense" is no kind of task', {"kinds": ["nonsense"]}),
    ("JB011", '"nonsense" is no kind of task', {"kinds": ["follow_up", "nonsense"]}),
    ("JB011", '"null" is no kind of task', {"kinds": [None]}),
    ("JB011", "no kind of task is named", {"kinds": []}),
    ("JB011", "worker is no name", {"worker": None}),
    ("JB011", "worker is no name", {"worker": ""}),
    ("JB011", "max_tasks cannot be -1", {"max_tasks": -1}),
    ("JB011", "max_tasks cannot be null", {"max_tasks": None}),
    ("JB050", "10001 tasks are too many for one claim", {"max_tasks": 10_001}),
    ("JB050", "2147483647 tasks are too many for one claim", {"max_tasks": 2_147_483_647}),
    ("JB011", "lease cannot be -00:01:00", {"lease": "-1 minute"}),
    ("JB011", "lease cannot be 00:00:00", {"lease": "0"}),
    ("JB011", "lease cannot be null", {"lease": None}),
    ("JB011", "lease cannot be 1 day 00:00:01", {"lease": "1 day 1 second"}),
    ("JB011", "lease cannot be 178000000 years", {"lease": "178000000 years"}),
]


@pytest.mark.parametrize(("code", "text", "options"), BAD_CLAIMS)
def test_impossible_claims_are_refused(
    db: psycopg.Connection, worker: Worker, job: UUID, code: str, text: str, options: dict[str, Any]
) -> None:
    made = plan(db, job)
    held = worker.claim()
    with refused(worker.conn, code, text):
        worker.claim(**options)
    with refused(worker.conn, code, text):
        worker.next(held, **options)
    assert status(db, made) == "running", "there is no partial effect"
    assert counters(db, job) == {"tasks_total": 1}


@pytest.mark.parametrize("length", [201, 5_000_000])
def test_a_worker_with_a_long_name_is_refused_also_when_there_is_work(
    db: psycopg.Connection, worker: Worker, job: UUID, length: int
) -> None:
    with refused(worker.conn, "JB011", "worker is no name"):
        worker.claim(worker="x" * length)
    plan_many(db, job, 3)
    with refused(worker.conn, "JB011", "worker is no name"):
        worker.claim(worker="x" * length)


def test_a_claim_of_nothing_is_refused(db: psycopg.Connection, worker: Worker) -> None:
    with refused(worker.conn, "JB011", "max_tasks cannot be 0"):
        worker.claim(0)


@pytest.mark.parametrize("lease", ["-1 minute", "0", None, "2 days"])
def test_impossible_heartbeats_are_refused(
    db: psycopg.Connection, worker: Worker, job: UUID, lease: str | None
) -> None:
    plan(db, job)
    held = worker.claim()
    before = task(db, held[0]["id"])
    with refused(worker.conn, "JB011", "lease cannot be"):
        worker.heartbeat(held, lease=lease)
    assert task(db, held[0]["id"]) == before


@pytest.mark.parametrize("function", [*VERDICT_FUNCTIONS, "complete_and_claim"])
def test_impossible_lists_are_refused(
    db: psycopg.Connection, worker: Worker, job: UUID, function: str
) -> None:
    plan(db, job)
    held = worker.claim()
    (mine,) = ids(held)
    token = held[0]["lease_token"]
    fused = {"outputs": None, "worker": "w"} if function == "complete_and_claim" else {}
    for bad, code, text in (
        (None, "JB011", "task_ids is no list of tasks"),
        ([None], "JB011", "task_ids is no list of tasks"),
        ([mine, None], "JB011", "task_ids is no list of tasks"),
        ([[mine]], "JB011", "task_ids is no list of tasks"),
        ([mine, mine], "JB011", "a task is named twice"),
        ([UNKNOWN_TASK, mine, UNKNOWN_TASK], "JB011", "a task is named twice"),
        (list(range(mine, mine + 10_001)), "JB050", "10001 tasks are too many for one call"),
    ):
        with refused(worker.conn, code, text):
            worker.call(function, task_ids=bad, lease_token=token, **fused)
    assert status(db, mine) == "running"
    (empty,) = worker.call(function, task_ids=[], lease_token=token, **fused)
    assert empty["verdicts" if fused else function] == []
    huge = list(range(mine, mine + 10_000))
    (result,) = worker.call(function, task_ids=huge, lease_token=token, **fused)
    verdicts = result["verdicts" if fused else function]
    assert verdicts == ["ok"] + ["not_found"] * 9_999


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("results", [0, 2, 4])
def test_results_that_do_not_fit_are_refused(
    db: psycopg.Connection, worker: Worker, job: UUID, count: int, results: int
) -> None:
    plan_many(db, job, 3)
    held = worker.claim(count)
    text = f"{results} results do not fit {count} tasks"
    with refused(worker.conn, "JB011", text):
        worker.complete(held, outputs=[Jsonb({})] * results)
    with refused(worker.conn, "JB011", text):
        worker.next(held, [Jsonb({})] * results, kinds=["research"])
    with refused(worker.conn, "JB011", text):
        worker.fail(held, errors=["x"] * results)
    assert running(db, job) == count


@pytest.mark.parametrize("count", [1, 2])
def test_results_in_two_dimensions_are_refused(
    db: psycopg.Connection, worker: Worker, job: UUID, count: int
) -> None:
    """Else they would be dropped silently."""
    plan_many(db, job, 2)
    held = worker.claim(count)
    with refused(worker.conn, "JB011"):
        worker.complete(held, outputs=[[Jsonb({"n": n})] for n in range(count)])
    with refused(worker.conn, "JB011"):
        worker.fail(held, errors=[["x"] for _ in range(count)])


@pytest.mark.parametrize("count", [1, 2])
def test_outputs_that_are_too_large_or_too_deep_are_refused(
    db: psycopg.Connection, worker: Worker, job: UUID, count: int
) -> None:
    plan_many(db, job, 2)
    held = worker.claim(count)
    deep: Any = 1
    for _ in range(41):
        deep = [deep]
    for bad in ("x" * (1 << 20), deep):
        outputs = [*[Jsonb({"ok": 1})] * (count - 1), Jsonb(bad)]
        with refused(worker.conn, "JB012"):
            worker.complete(held, outputs=outputs)
        with refused(worker.conn, "JB012"):
            worker.next(held, outputs, kinds=["research"])
    assert running(db, job) == count
    large = [Jsonb("x" * 900_000)] * count
    assert worker.complete(held, outputs=large) == ["ok"] * count
    assert {len(task(db, t)["output"]) for t in ids(held)} == {900_000}


def test_hostile_text_is_kept_as_it_is(db: psycopg.Connection, worker: Worker, job: UUID) -> None:
    name = "'; drop table jobs; -- {{x}} %s <script>"
    plan_many(db, job, 3)
    held = worker.claim(3, worker=name)
    assert task(db, held[0]["id"])["locked_by"] == name
    assert worker.fail(held[:1], errors=[name]) == ["ok"]
    assert task(db, held[0]["id"])["error_message"] == name
    assert worker.complete(held[1:2], outputs=[Jsonb({name: name})]) == ["ok"]
    assert task(db, held[1]["id"])["output"] == {name: name}
    end_leases(db)
    worker.tick()
    assert f"lost with its worker {name}: " in task(db, held[2]["id"])["error_message"]
    with refused(worker.conn, "JB011", f'"{name}" is no kind of task'):
        worker.claim(kinds=[name])


def test_workers_only(db: psycopg.Connection, job: UUID) -> None:
    calls = [
        "select * from claim_tasks('w')",
        "select * from complete_and_claim('{}', null, null, 'w')",
        "select complete_tasks('{1}', null)",
        "select heartbeat_tasks('{1}', null)",
        "select fail_tasks('{1}', null)",
        "select release_tasks('{1}', null)",
        f"select retry_job('{job}')",
        "select assert_lease(1, null)",
        "select tick()",
        f"select jobsdb.limit_work('{A}', '*', 1)",
    ]
    for call in calls:
        for who in (as_tenant(db, A), as_anon(db)):
            with who, refused(db, "42501", "permission denied"):
                db.execute(call)


# --------------------------------------------------------------------------------- old snapshots


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@each_way
def test_everything_works_in_a_transaction_with_one_snapshot(
    db: psycopg.Connection, worker: Worker, job: UUID, level: str, options: dict[str, Any]
) -> None:
    first = plan(db, job, step=900_000_001)
    after = plan(db, job, step=900_000_002, depends_on=[900_000_001])
    worker.conn.execute(f"set default_transaction_isolation to '{level}'")
    held = worker.claim(**options)
    assert ids(held) == [first]
    worker.call("assert_lease", task_id=first, lease_token=held[0]["lease_token"])
    assert worker.heartbeat(held) == ["ok"]
    assert worker.release(held) == ["ok"]
    held = worker.claim(**options)
    assert worker.fail(held, retry=False) == ["ok"]
    assert worker.value("retry_job", job_id=job) == 1
    held = worker.claim(**options)
    (told,) = worker.next(held, **options)
    assert told["verdicts"] == ["ok"]
    worker.tick()
    assert eventually(lambda: ids(worker.claim(**options)) or status(db, after) == "running")
    end_leases(db)
    worker.tick()
    assert status(db, after) == "pending"
    pause(db, job)
    assert worker.claim(**options) == []
    check_counters(db)


def test_ids_that_were_never_given_out_do_no_harm(
    db: psycopg.Connection, worker: Worker, job: UUID
) -> None:
    for function in VERDICT_FUNCTIONS:
        for bad in (-(2**63), -1, 0, 2**63 - 1):
            assert worker.value(function, task_ids=[bad], lease_token=uuid4()) == ["not_found"]
