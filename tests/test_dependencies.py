"""When a task may be claimed: no awaited step is unfinished and its time has come.

``pos`` is the order of claiming and null while a task is not claimable; ``waits_on`` is the step it
watches. Both are looked at after commit, as a claimer would see them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

import world
from helpers import SOAK, as_tenant, new_database, refused
from jobsdb.local import Server
from world import A, column, move_task, new_task, one


@pytest.fixture(scope="module")
def db(server: Server, template: str) -> Iterator[psycopg.Connection]:
    with (
        new_database(server, template) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        yield conn


@pytest.fixture
def job(db: psycopg.Connection) -> UUID:
    return world.new_job(db)


def ready(conn: psycopg.Connection, job: UUID) -> list[int]:
    """The steps that may be claimed, in the order of claiming."""
    return column(
        conn,
        "select step from job_tasks where job_id = %s and status = 'pending' and pos is not null"
        " order by pos",
        job,
    )


def waiting(conn: psycopg.Connection, job: UUID) -> dict[int, int]:
    """Which step waits for which."""
    return dict(
        conn.execute(
            "select step, waits_on from job_tasks where job_id = %s and waits_on is not null",
            [job],
        ).fetchall()
    )


def plan(conn: psycopg.Connection, job: UUID, **tasks: list[int] | None) -> dict[int, int]:
    """Tasks named s1, s2 … with their dependencies, in the order given; ids by step."""
    return {
        int(name[1:]): new_task(conn, job, step=int(name[1:]), depends_on=depends_on)
        for name, depends_on in tasks.items()
    }


# --------------------------------------------------------------------------------- what is awaited


def test_null_means_all_lower_steps_that_are_there(db: psycopg.Connection, job: UUID) -> None:
    with as_tenant(db, A):
        db.execute(
            "insert into job_tasks (job_id, step, kind) values"
            " (%(job)s, 1, 'research'), (%(job)s, 2, 'research'), (%(job)s, 3, 'research')",
            {"job": job},
        )
    assert ready(db, job) == [1]
    assert waiting(db, job) == {2: 1, 3: 2}


def test_an_empty_list_means_at_once(db: psycopg.Connection, job: UUID) -> None:
    plan(db, job, s1=[], s2=[], s3=[])
    assert ready(db, job) == [1, 2, 3]


def test_a_list_names_the_steps_that_are_awaited(db: psycopg.Connection, job: UUID) -> None:
    tasks = plan(db, job, s1=[], s2=[], s3=[1], s4=[1, 2], s5=None)
    assert waiting(db, job) == {3: 1, 4: 2, 5: 4}
    move_task(db, tasks[1], "done")
    assert ready(db, job) == [2, 3]
    move_task(db, tasks[2], "done")
    assert ready(db, job) == [3, 4]
    move_task(db, tasks[4], "skipped")
    assert waiting(db, job) == {5: 3}
    move_task(db, tasks[3], "done")
    assert ready(db, job) == [5]


def test_a_named_step_may_come_later_in_the_same_statement(
    db: psycopg.Connection, job: UUID
) -> None:
    db.execute(
        "insert into job_tasks (job_id, step, kind, depends_on) values"
        " (%(job)s, 3, 'research', '{1,2}'), (%(job)s, 2, 'research', '{1}'),"
        " (%(job)s, 1, 'research', '{}')",
        {"job": job},
    )
    assert ready(db, job) == [1]
    assert waiting(db, job) == {2: 1, 3: 2}


def test_impossible_dependencies_are_refused(db: psycopg.Connection, job: UUID) -> None:
    plan(db, job, s1=[])
    for depends_on in ([2], [3], [1, 2], [2147483647]):
        with refused(db, "JB011", "step 2 depends on a step that is not below it"):
            new_task(db, job, step=2, depends_on=depends_on)
    with refused(db, "JB011", "is not below it"):
        db.execute(
            "insert into job_tasks (job_id, step, kind, depends_on)"
            " values (%s, 2, 'research', array[1, null])",
            [job],
        )
    for depends_on in ([-1], [0], [1, 0]):
        with refused(db, "JB011", "which others depend on, does not exist") as info:
            new_task(db, job, step=2, depends_on=depends_on)
        assert f'Batch 0 of job "{job}" has no such step.' in info.value.diag.message_detail
    with refused(db, "JB011"):
        db.execute(
            "insert into job_tasks (job_id, step, kind, depends_on)"
            " values (%s, 2, 'research', '{{1,1},{1,1}}')",
            [job],
        )
    other = world.new_job(db)
    plan(db, other, s5=[])
    with refused(db, "JB011", "step 5, which others depend on, does not exist"):
        new_task(db, job, step=6, depends_on=[5])
    with refused(db, "JB011", "step 1, which others depend on, does not exist"):
        new_task(db, job, step=6, batch=1, depends_on=[1])


def test_batches_and_jobs_never_wait_for_each_other(db: psycopg.Connection, job: UUID) -> None:
    other = world.new_job(db)
    plan(db, job, s1=None)
    new_task(db, job, step=2, batch=1, depends_on=None)
    plan(db, other, s3=None)
    assert ready(db, job) == [1, 2]
    assert ready(db, other) == [3]


def test_steps_that_have_ended_are_not_awaited(db: psycopg.Connection, job: UUID) -> None:
    tasks = plan(db, job, s1=[], s2=[], s3=[])
    move_task(db, tasks[1], "done")
    move_task(db, tasks[2], "skipped")
    plan(db, job, s4=[1, 2], s5=None)
    assert waiting(db, job) == {5: 4}
    assert ready(db, job) == [3, 4]


def test_a_lower_step_that_comes_late_is_not_awaited(db: psycopg.Connection, job: UUID) -> None:
    plan(db, job, s5=None, s3=None, s4=[3])
    assert ready(db, job) == [5, 3]
    assert waiting(db, job) == {4: 3}


# ------------------------------------------------------------------------------------ what releases


@pytest.mark.parametrize("end", ["done", "skipped"])
def test_done_and_skipped_release(db: psycopg.Connection, job: UUID, end: str) -> None:
    tasks = plan(db, job, s1=None, s2=None, s3=None)
    move_task(db, tasks[1], end)
    assert ready(db, job) == [2]
    move_task(db, tasks[2], "running")
    assert ready(db, job) == []
    move_task(db, tasks[2], end)
    assert ready(db, job) == [3]


def test_an_error_holds_until_it_is_retried_or_skipped(db: psycopg.Connection, job: UUID) -> None:
    tasks = plan(db, job, s1=None, s2=[1], s3=[2])
    move_task(db, tasks[1], "error")
    assert ready(db, job) == []
    move_task(db, tasks[1], "pending")
    assert ready(db, job) == [1]
    move_task(db, tasks[1], "done")
    assert ready(db, job) == [2]
    move_task(db, tasks[2], "error")
    assert ready(db, job) == []
    move_task(db, tasks[2], "skipped")
    assert ready(db, job) == [3]


def test_a_step_in_error_is_awaited_by_tasks_that_come_later(
    db: psycopg.Connection, job: UUID
) -> None:
    tasks = plan(db, job, s1=[], s2=[])
    move_task(db, tasks[1], "error")
    move_task(db, tasks[2], "running")
    plan(db, job, s3=None, s4=[1], s5=[1, 2])
    assert waiting(db, job) == {3: 2, 4: 1, 5: 2}
    move_task(db, tasks[2], "done")
    assert waiting(db, job) == {3: 1, 4: 1, 5: 1}
    move_task(db, tasks[1], "skipped")
    assert ready(db, job) == [3, 4, 5]


def test_a_release_that_is_rolled_back_releases_nothing(db: psycopg.Connection, job: UUID) -> None:
    tasks = plan(db, job, s1=None, s2=None)
    with db.transaction(force_rollback=True):
        move_task(db, tasks[1], "done")
    assert ready(db, job) == [1]
    with db.transaction():
        with db.transaction(force_rollback=True):
            move_task(db, tasks[1], "done")
        move_task(db, tasks[1], "running")
    assert ready(db, job) == []
    assert waiting(db, job) == {2: 1}
    move_task(db, tasks[1], "done")
    assert ready(db, job) == [2]


def test_several_steps_end_in_one_statement(db: psycopg.Connection, job: UUID) -> None:
    plan(db, job, s1=None, s2=None, s3=None, s4=[1, 3], s5=None)
    db.execute("update job_tasks set status = 'done' where job_id = %s and step < 4", [job])
    assert ready(db, job) == [4]
    assert waiting(db, job) == {5: 4}


def test_a_task_that_ends_before_its_turn_waits_for_nothing(
    db: psycopg.Connection, job: UUID
) -> None:
    """Order binds claims, not plain SQL."""
    tasks = plan(db, job, s1=None, s2=None, s3=None)
    move_task(db, tasks[2], "running")
    move_task(db, tasks[2], "done")
    assert waiting(db, job) == {3: 1}
    move_task(db, tasks[1], "done")
    assert ready(db, job) == [3]


def test_a_task_that_is_released_waits_again_for_what_is_unfinished(
    db: psycopg.Connection, job: UUID
) -> None:
    tasks = plan(db, job, s1=None, s2=None)
    move_task(db, tasks[2], "running")
    move_task(db, tasks[2], "pending")
    assert waiting(db, job) == {2: 1}
    move_task(db, tasks[2], "error")
    move_task(db, tasks[1], "done")
    move_task(db, tasks[2], "pending")
    assert ready(db, job) == [2]


def test_a_deleted_step_is_not_awaited(db: psycopg.Connection, job: UUID) -> None:
    tasks = plan(db, job, s1=None, s2=None, s3=None)
    db.execute("delete from job_tasks where id = %s", [tasks[2]])
    assert waiting(db, job) == {3: 1}
    db.execute("delete from job_tasks where id = %s", [tasks[1]])
    assert ready(db, job) == [3]


def test_retried_and_released_tasks_come_after_those_that_wait_already(
    db: psycopg.Connection, job: UUID
) -> None:
    tasks = plan(db, job, s1=[], s2=[], s3=[])
    move_task(db, tasks[1], "error")
    move_task(db, tasks[1], "pending")
    assert ready(db, job) == [2, 3, 1]
    move_task(db, tasks[2], "running")
    move_task(db, tasks[2], "pending")
    assert ready(db, job) == [3, 1, 2]


def test_many_dependents_of_one_step_are_released_together_and_do_not_read_each_other(
    db: psycopg.Connection, job: UUID
) -> None:
    """Each of them looks for its own step only, so a plan costs what it is long, not its square."""
    tasks = plan(db, job, s1=[])
    with db.transaction():
        db.execute(
            "insert into job_tasks (job_id, step, kind, depends_on)"
            " select %s, n, 'research', '{1}' from generate_series(2, 1000) n",
            [job],
        )
        read = one(
            db,
            "select idx_tup_fetch + seq_tup_read from pg_stat_xact_user_tables"
            " where relid = 'job_tasks'::regclass",
        )
    assert ready(db, job) == [1]
    move_task(db, tasks[1], "done")
    assert len(ready(db, job)) == 999
    assert read < 20_000, "1,000 tasks"


def test_a_chain_of_many_steps_ends_in_one_statement_in_any_order(
    db: psycopg.Connection, job: UUID
) -> None:
    db.execute(
        "insert into job_tasks (job_id, step, kind)"
        " select %s, n, 'research' from generate_series(1, 300) n",
        [job],
    )
    assert ready(db, job) == [1]
    db.execute(
        "update job_tasks t set status = 'done' from (select id from job_tasks where job_id = %s"
        " and step < 300 order by step desc) s where t.id = s.id",
        [job],
    )
    assert ready(db, job) == [300]


def test_a_step_that_ends_while_a_dependent_is_being_added_is_not_missed(
    db: psycopg.Connection, job: UUID
) -> None:
    tasks = plan(db, job, s1=None)
    with psycopg.connect(
        db.info.dsn, host=db.info.host, port=db.info.port, autocommit=False
    ) as other:
        move_task(other, tasks[1], "done")
        plan(db, job, s2=[1])
        assert waiting(db, job) == {2: 1}
        other.commit()
    db.execute("select refresh_job_metrics()")
    assert ready(db, job) == [2]


# ------------------------------------------------------------------------------------------ times


def test_a_time_in_the_future_holds_a_task_and_the_present_lets_it_go(
    db: psycopg.Connection, job: UUID
) -> None:
    task = new_task(db, job, step=1)
    change = "update job_tasks set scheduled_for = now() + %s::interval where id = %s"
    db.execute(change, ["1 hour", task])
    assert ready(db, job) == []
    db.execute(change, ["-1 hour", task])
    assert ready(db, job) == [1]
    db.execute(change, ["1 hour", task])
    db.execute("update job_tasks set scheduled_for = null where id = %s", [task])
    assert ready(db, job) == [1]


def test_a_time_and_a_step_are_both_awaited(db: psycopg.Connection, job: UUID) -> None:
    added = (
        "insert into job_tasks (job_id, step, kind, scheduled_for, depends_on)"
        " values (%s, %s, 'research', now() + %s::interval, '{1}')"
    )
    tasks = plan(db, job, s1=[])
    for step, offset in ((2, "1 hour"), (3, "-1 hour")):
        db.execute(added, [job, step, offset])
    assert ready(db, job) == [1]
    db.execute(
        "update job_tasks set scheduled_for = now() - interval '1 s' where job_id = %s and step=2",
        [job],
    )
    assert ready(db, job) == [1], "the step is awaited still"
    db.execute(
        "update job_tasks set scheduled_for = now() + interval '1 h' where job_id = %s and step=2",
        [job],
    )
    move_task(db, tasks[1], "done")
    assert ready(db, job) == [3]
    assert waiting(db, job) == {}


def test_the_time_is_taken_from_the_input_unless_the_column_is_given(
    db: psycopg.Connection, job: UUID
) -> None:
    added = (
        "insert into job_tasks (job_id, step, kind, depends_on, input, scheduled_for)"
        " values (%s, %s, 'send_email', '{}', %s, %s) returning scheduled_for::text"
    )
    db.execute("set timezone = 'UTC'")
    for step, (text, column_value, expected) in enumerate(
        [
            ("2030-01-31T09:00:00Z", None, "2030-01-31 09:00:00+00"),
            ("2030-01-31T09:00:00+05:30", None, "2030-01-31 03:30:00+00"),
            ("2030-01-31", None, "2030-01-31 00:00:00+00"),
            ("2030-01-31T09:00:00Z", "2040-01-01", "2040-01-01 00:00:00+00"),
            (None, None, None),
            ("infinity", None, "infinity"),
        ]
    ):
        found = one(db, added, job, step, Jsonb({"scheduled_for": text}), column_value)
        assert found == expected
    assert ready(db, job) == [4]
    for text in ("tomorrow morning", "2030-02-30", "", "12345678901234567890", "'; drop", 7, {}):
        with refused(db, "JB011", "is no time"):
            db.execute(added, [job, 77, Jsonb({"scheduled_for": text}), None])


def test_a_retry_keeps_waiting_for_its_time(db: psycopg.Connection, job: UUID) -> None:
    task = new_task(db, job, step=1)
    move_task(db, task, "error")
    db.execute(
        "update job_tasks set status = 'pending', scheduled_for = now() + interval '5 min'"
        " where id = %s",
        [task],
    )
    assert ready(db, job) == []


# ------------------------------------------------------------------ anything, compared with a model

MOVES = {
    "pending": ("running", "done", "error", "skipped"),
    "running": ("done", "error", "skipped", "pending"),
    "error": ("pending", "skipped"),
    "done": (),
    "skipped": (),
}


@dataclass
class Task:
    id: int
    batch: int
    step: int
    awaits: set[int]
    status: str = "pending"


@dataclass
class Model:
    """The rules in the plainest form: a task awaits the unfinished ones of the tasks it names."""

    tasks: dict[int, Task] = field(default_factory=dict)

    def awaited(self, task: Task) -> list[int]:
        return [
            other.step
            for other in self.tasks.values()
            if other.id in task.awaits and other.status in ("pending", "running", "error")
        ]

    def copy(self) -> "Model":
        return Model({t.id: Task(**vars(t)) for t in self.tasks.values()})


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "move", "move", "move", "move", "delete", "bulk"]),
        st.integers(0, 10_000),
        st.sampled_from(["null", "none", "some", "some"]),
    ),
    min_size=1,
    max_size=5,
)
TRANSACTIONS = st.lists(
    st.tuples(ACTIONS, st.sampled_from(["commit", "commit", "commit", "rollback", "savepoint"])),
    min_size=1,
    max_size=8,
)


def act(
    conn: psycopg.Connection, job: UUID, model: Model, action: tuple[str, int, str], free: list[int]
) -> None:
    """Do one thing to the database and to the model."""
    verb, number, dependencies = action
    tasks = list(model.tasks.values())
    if verb == "add" or not tasks:
        batch = number % 2
        step = free.pop(number % len(free))
        lower = [t for t in tasks if t.batch == batch and t.step < step]
        if dependencies == "null":
            chosen, awaits = None, {t.id for t in lower}
        elif dependencies == "none":
            chosen, awaits = [], set()
        else:
            some = [t for place, t in enumerate(lower) if number >> place & 1]
            chosen, awaits = [t.step for t in some], {t.id for t in some}
        task = new_task(conn, job, step=step, batch=batch, depends_on=chosen)
        model.tasks[task] = Task(task, batch, step, awaits)
        return
    task_ = tasks[number % len(tasks)]
    if verb == "delete":
        conn.execute("delete from job_tasks where id = %s", [task_.id])
        del model.tasks[task_.id]
    elif verb == "bulk":
        moved = [t for t in tasks if t.status in ("pending", "running") and number >> t.step & 1]
        conn.execute(
            "update job_tasks set status = 'done' where id = any(%s)", [[t.id for t in moved]]
        )
        for t in moved:
            t.status = "done"
    elif MOVES[task_.status]:
        task_.status = MOVES[task_.status][number % len(MOVES[task_.status])]
        move_task(conn, task_.id, task_.status)


def check(conn: psycopg.Connection, job: UUID, model: Model) -> None:
    found: dict[int, dict[str, Any]] = {
        task["id"]: task
        for task in world.rows(conn, "select * from job_tasks where job_id = %s", job)
    }
    assert found.keys() == model.tasks.keys()
    for task in model.tasks.values():
        assert found[task.id]["status"] == task.status
        if task.status == "pending":
            awaited = model.awaited(task)
            told = (task, awaited)
            assert found[task.id]["waits_on"] == (max(awaited) if awaited else None), told
            assert (found[task.id]["pos"] is None) == bool(awaited), told
        else:
            assert found[task.id]["waits_on"] is None, task
    conn.execute("select jobsdb.release_missed()")  # as whoever has time does
    assert one(conn, "select count(*) from jobsdb.missed_steps where job_id = %s", job) == 0


@settings(
    max_examples=500 if SOAK else 100,
    deadline=None,
    derandomize=not SOAK,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(transactions=TRANSACTIONS)
def test_readiness_is_what_a_simple_model_says(
    db: psycopg.Connection, transactions: list[tuple[list[tuple[str, int, str]], str]]
) -> None:
    job = world.new_job(db)
    model = Model()
    free = list(range(1, 60))
    for actions, ending in transactions:
        before = model.copy()
        with db.transaction(force_rollback=ending == "rollback"):
            for number, action in enumerate(actions):
                if ending == "savepoint" and number % 2:
                    undone = model.copy()
                    with db.transaction(force_rollback=True):
                        act(db, job, undone, action, free)
                else:
                    act(db, job, model, action, free)
        if ending == "rollback":
            model = before
        check(db, job, model)
    world.check_counters(db)
    db.execute("delete from jobs where id = %s", [job])
