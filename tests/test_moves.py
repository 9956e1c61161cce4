"""Every move of a job and of a task, legal and illegal, by everybody and by every way.

The tables here are written from the contract, not read from jobsdb.transitions.
"""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

import world
from helpers import as_role, as_service, as_tenant, refused
from world import FINISHED, UNKNOWN, A, one, row

JOB_MOVES = {
    "pending": {"running", "cancelled"},
    "running": {"succeeded", "failed", "cancelled"},
    "succeeded": set(),
    "failed": set(),
    "cancelled": set(),
}
TASK_MOVES = {
    "pending": {"running", "done", "error", "skipped"},
    "running": {"done", "error", "skipped", "pending"},
    "error": {"pending", "skipped"},
    "done": set(),
    "skipped": set(),
}
PERSONAS: dict[str, Callable[[psycopg.Connection], AbstractContextManager[object]]] = {
    "tenant": lambda conn: as_tenant(conn, A),
    "service": as_service,
    "owner": lambda conn: conn.transaction(),
}
personas = pytest.mark.parametrize("who", PERSONAS.values(), ids=PERSONAS.keys())
A_TIME = datetime(2020, 2, 29, 12, tzinfo=UTC)


# ------------------------------------------------------------------------------------------- jobs


def by_function(conn: psycopg.Connection, job: UUID, status: str) -> dict[str, object]:
    return row(conn, "select * from transition_job_status(%s, %s)", job, status)


def by_update(conn: psycopg.Connection, job: UUID, status: str) -> dict[str, object]:
    return row(conn, "update jobs set status = %s where id = %s returning *", status, job)


WAYS = {"by function": by_function, "by plain SQL": by_update}
ways = pytest.mark.parametrize("move", WAYS.values(), ids=WAYS.keys())


@personas
@ways
@pytest.mark.parametrize("old", JOB_MOVES)
def test_a_job_moves_as_the_contract_says_and_not_otherwise(
    tx: psycopg.Connection,
    who: Callable[[psycopg.Connection], AbstractContextManager[object]],
    move: Callable[[psycopg.Connection, UUID, str], dict[str, object]],
    old: str,
) -> None:
    for new in JOB_MOVES:
        job = world.new_job(tx, A, old)
        before = row(tx, "select * from jobs where id = %s", job)
        with who(tx):
            if new == old:
                after = move(tx, job, new)
                assert after | {"updated_at": None} == before | {"updated_at": None}
            elif new in JOB_MOVES[old]:
                assert move(tx, job, new)["status"] == new
            else:
                expected = f'job "{job}" cannot go from "{old}" to "{new}"'
                with refused(tx, "JB001", expected) as info:
                    move(tx, job, new)
                told = info.value.diag.message_detail or ""
                assert all(word in told for word in JOB_MOVES[old]) or "final" in told
        status = new if new in JOB_MOVES[old] else old
        assert one(tx, "select status from jobs where id = %s", job) == status


def test_cancel_job_obeys_the_same_rules(tx: psycopg.Connection) -> None:
    for old, moves in JOB_MOVES.items():
        job = world.new_job(tx, A, old)
        with as_tenant(tx, A):
            if "cancelled" in moves or old == "cancelled":
                assert row(tx, "select * from cancel_job(%s)", job)["status"] == "cancelled"
            else:
                with refused(tx, "JB001", f'cannot go from "{old}" to "cancelled"'):
                    tx.execute("select cancel_job(%s)", [job])


@personas
def test_words_that_are_no_status_are_refused(
    tx: psycopg.Connection, who: Callable[[psycopg.Connection], AbstractContextManager[object]]
) -> None:
    job = world.new_job(tx)
    task = world.new_task(tx, job)
    with who(tx):
        for word in ("done", "paused", "RUNNING", "running ", "", "'; drop table jobs; --"):
            with refused(tx, "JB001", f'"{word}" is no job status'):
                by_function(tx, job, word)
            with refused(tx, "23514"):
                by_update(tx, job, word)
        for word in ("succeeded", "cancelled", "Done", ""):
            with refused(tx, "23514"):
                tx.execute("update job_tasks set status = %s where id = %s", [word, task])
        with refused(tx, "JB001", '"null" is no job status'):
            tx.execute("select transition_job_status(%s, null)", [job])
        with refused(tx, "JB001", 'cannot go from "running" to'):
            tx.execute("update jobs set status = null")
        with refused(tx, "JB002", 'cannot go from "pending" to'):
            tx.execute("update job_tasks set status = null")


def test_acting_on_an_unknown_job_is_refused_for_service_and_owner_too(
    tx: psycopg.Connection,
) -> None:
    for who in PERSONAS.values():
        for call in (
            "transition_job_status(%s, 'running')",
            "cancel_job(%s)",
            "pause_job(%s)",
            "resume_job(%s)",
        ):
            with who(tx), refused(tx, "JB020", f'job "{UNKNOWN}" was not found or is not yours'):
                tx.execute(f"select {call}", [UNKNOWN])


def test_a_new_job_is_pending_whoever_makes_it(tx: psycopg.Connection) -> None:
    for status in ("running", *FINISHED):
        with refused(tx, "JB001", f'a new job cannot be "{status}"'):
            tx.execute("insert into jobs (org_id, name, status) values (%s, 'x', %s)", [A, status])
    for who in PERSONAS.values():
        with who(tx):
            added = "insert into jobs (org_id, name) values (%s, 'x') returning *"
            job = row(tx, added, A)
        assert (job["status"], job["started_at"], job["finished_at"]) == ("pending", None, None)
        assert job["params"] == {}


def test_a_job_knows_who_created_it(tx: psycopg.Connection) -> None:
    added = "insert into jobs (org_id, name) values (%s, 'x') returning created_by"
    with as_tenant(tx, A):
        assert one(tx, added, A) == A
    with as_service(tx):
        assert one(tx, added, A) is None


def test_start_and_end_of_a_job_are_stamped(tx: psycopg.Connection) -> None:
    job = world.new_job(tx, A, "pending")
    now = one(tx, "select now()")
    started = by_function(tx, job, "running")
    assert (started["started_at"], started["finished_at"]) == (now, None)
    ended = by_function(tx, job, "failed")
    assert (ended["started_at"], ended["finished_at"]) == (now, now)
    never_ran = by_function(tx, world.new_job(tx, A, "pending"), "cancelled")
    assert (never_ran["started_at"], never_ran["finished_at"]) == (None, now)


def test_times_of_a_job_that_the_owner_gives_are_kept(tx: psycopg.Connection) -> None:
    job = world.new_job(tx, A, "pending")
    tx.execute("update jobs set status = 'running', started_at = %s where id = %s", [A_TIME, job])
    assert one(tx, "select started_at from jobs where id = %s", job) == A_TIME
    end = A_TIME + timedelta(days=1)
    tx.execute("update jobs set status = 'failed', finished_at = %s where id = %s", [end, job])
    assert one(tx, "select finished_at from jobs where id = %s", job) == end


def test_every_move_of_a_job_is_written_into_its_history(tx: psycopg.Connection) -> None:
    with as_tenant(tx, A):
        job = one(tx, "insert into jobs (name) values ('x') returning id")
        by_update(tx, job, "running")
        by_update(tx, job, "running")
        tx.execute("select pause_job(%s)", [job])
        tx.execute("select resume_job(%s)", [job])
    with as_service(tx):
        by_function(tx, job, "cancelled")
    found = tx.execute(
        "select old_status, new_status, actor, actor_role from jobsdb.events"
        " where job_id = %s order by id",
        [job],
    ).fetchall()
    assert found == [
        ("pending", "running", A, "authenticated"),
        ("running", "paused", A, "authenticated"),
        ("paused", "running", A, "authenticated"),
        ("running", "cancelled", None, "service_role"),
    ]
    with as_tenant(tx, A):
        newest = row(tx, "select * from recent_job_activity limit 1")
    assert newest["job_id"] == job
    assert newest["org_id"] == A
    assert newest["what"] == "job running → cancelled"
    assert newest["who"] == "service_role"


# -------------------------------------------------------------------------- success and open work


@ways
@pytest.mark.parametrize(
    ("work", "open_counts"),
    [
        ("pending", "1 tasks pending or running, 0 cards in review, 0 cards approved"),
        ("running", "1 tasks pending or running, 0 cards in review, 0 cards approved"),
        ("in_review", "0 tasks pending or running, 1 cards in review, 0 cards approved"),
        ("todo", "0 tasks pending or running, 1 cards in review, 0 cards approved"),
        ("approved", "0 tasks pending or running, 0 cards in review, 1 cards approved"),
    ],
)
def test_a_job_cannot_succeed_while_work_is_open(
    tx: psycopg.Connection,
    move: Callable[[psycopg.Connection, UUID, str], dict[str, object]],
    work: str,
    open_counts: str,
) -> None:
    job = world.new_job(tx)
    if work in ("pending", "running"):
        world.new_task(tx, job, work)
    else:
        world.new_card(tx, job, work)
    for who in PERSONAS.values():
        with who(tx), refused(tx, "JB040", "cannot succeed while work is open") as info:
            move(tx, job, "succeeded")
        assert open_counts in (info.value.diag.message_detail or "")


def test_a_job_succeeds_over_ended_tasks_and_decided_cards(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    for status in ("done", "error", "skipped"):
        world.new_task(tx, job, status)
    for state in ("rejected", "done"):
        world.new_card(tx, job, state)
    assert by_function(tx, job, "succeeded")["status"] == "succeeded"
    assert world.counters(tx, job) == {
        "tasks_total": 3,
        "tasks_done": 1,
        "tasks_error": 1,
        "tasks_skipped": 1,
        "cards_total": 2,
        "cards_rejected": 1,
        "cards_done": 1,
    }


def test_a_job_without_work_succeeds(tx: psycopg.Connection) -> None:
    assert by_function(tx, world.new_job(tx), "succeeded")["status"] == "succeeded"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_open_work_that_an_old_snapshot_does_not_show_still_prevents_success(
    url: str, level: str
) -> None:
    """Both work in old snapshots: the task is added after the other's snapshot was taken."""
    with (
        psycopg.connect(url) as adder,
        psycopg.connect(url) as closer,
        psycopg.connect(url, autocommit=True) as db,
    ):
        job = world.new_job(db)
        closer.execute(f"set transaction isolation level {level}")
        closer.execute("select count(*) from public.jobs")
        adder.execute(f"set transaction isolation level {level}")
        world.new_task(adder, job)
        adder.commit()
        with suppress(psycopg.Error):
            by_update(closer, job, "succeeded")
            closer.commit()
        closer.rollback()
        live = one(
            db,
            "select count(*) from job_tasks t join jobs j on j.id = t.job_id"
            " where j.status = 'succeeded' and t.status = 'pending'",
        )
        assert live == 0, "a live task stands in a finished job"


# ------------------------------------------------------------------------------- cancel and failure


@pytest.mark.parametrize("status", ["cancelled", "failed"])
@ways
def test_cancelled_and_failed_close_open_tasks_alike(
    tx: psycopg.Connection,
    move: Callable[[psycopg.Connection, UUID, str], dict[str, object]],
    status: str,
) -> None:
    job = world.new_job(tx)
    tasks = {word: world.new_task(tx, job, word) for word in TASK_MOVES}
    with as_tenant(tx, A):
        move(tx, job, status)
        progress = row(tx, "select * from get_job_progress(%s)", job)
    assert world.counters(tx, job) == {
        "tasks_total": 5,
        "tasks_done": 1,
        "tasks_error": 1,
        "tasks_skipped": 3,
    }
    assert (progress["pending"], progress["running"], progress["percent"]) == (0, 0, 100)
    ends = {
        word: row(tx, "select status, finished_at from job_tasks where id = %s", task)
        for word, task in tasks.items()
    }
    assert {word: end["status"] for word, end in ends.items()} == {
        "pending": "skipped",
        "running": "skipped",
        "done": "done",
        "error": "error",
        "skipped": "skipped",
    }
    assert all(end["finished_at"] for end in ends.values())


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_more_than_a_thousand_open_tasks_count_as_skipped_at_once_and_follow_in_batches(
    tx: psycopg.Connection, status: str
) -> None:
    job = world.new_job(tx)
    tx.execute(
        "insert into job_tasks (job_id, step, kind, depends_on)"
        " select %s, n, 'research', '{}' from generate_series(1, 2500) as n",
        [job],
    )
    tx.execute("update job_tasks set status = 'done' where job_id = %s and step <= 3", [job])
    tx.execute("update job_tasks set status = 'error' where job_id = %s and step = 4", [job])
    tx.execute("update job_tasks set status = 'running' where job_id = %s and step > 2499", [job])
    in_state = "select count(*) from job_tasks where job_id = %s and status = %s"
    with as_tenant(tx, A):
        ended = by_function(tx, job, status)
    expected = {"tasks_total": 2500, "tasks_done": 3, "tasks_error": 1, "tasks_skipped": 2496}
    assert {name: ended[name] for name in expected} == expected
    assert one(tx, in_state, job, "skipped") == 1000

    with as_tenant(tx, A):
        progress = row(tx, "select * from get_job_progress(%s)", job)
        live = row(tx, "select * from job_metrics_live where job_id = %s", job)
    assert (progress["pending"], progress["running"], progress["tasks_skipped"]) == (0, 0, 2496)
    assert (live["tasks_pending"], live["tasks_running"], live["tasks_skipped"]) == (0, 0, 2496)
    assert live["by_kind"] == {"research": {"done": 3, "error": 1, "skipped": 2496}}

    late = one(tx, "select min(id) from job_tasks where job_id = %s and status = 'pending'", job)
    for word in ("running", "done", "error"):
        with refused(tx, "JB040", f'task "{late}" cannot go from "pending" to "{word}"'):
            world.move_task(tx, late, word)
    with as_tenant(tx, A):
        world.move_task(tx, late, "skipped")
    assert world.counters(tx, job) == expected
    world.check_counters(tx)

    with as_service(tx):
        assert one(tx, "select jobsdb.finish_closed_jobs(700)") == 700
        assert one(tx, in_state, job, "skipped") == 1701
        assert one(tx, "select jobsdb.finish_closed_jobs()") == 795
        assert one(tx, "select jobsdb.finish_closed_jobs()") == 0
    assert one(tx, in_state, job, "skipped") == 2496
    assert one(tx, "select count(*) from jobsdb.closed_jobs") == 1, "stragglers are looked for"
    tx.execute("update jobsdb.closed_jobs set closed_at = now() - interval '6 minutes'")
    assert one(tx, "select jobsdb.finish_closed_jobs()") == 0
    assert one(tx, "select count(*) from jobsdb.closed_jobs") == 0
    assert world.counters(tx, job) == expected


def test_a_refresh_of_the_metrics_finishes_what_a_cancel_has_left(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    tx.execute(
        "insert into job_tasks (job_id, step, kind, depends_on)"
        " select %s, n, 'research', '{}' from generate_series(1, 1200) as n",
        [job],
    )
    tx.execute("select cancel_job(%s)", [job])
    with as_service(tx):
        tx.execute("select refresh_job_metrics()")
    left = "select count(*) from job_tasks where job_id = %s and status <> 'skipped'"
    assert one(tx, left, job) == 0


def test_a_completion_in_flight_counts_as_done_and_a_cancel_does_not_wait_for_it(
    connect: Callable[..., psycopg.Connection],
) -> None:
    db, worker = connect(), connect(autocommit=False)
    worker.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # so it holds only the task
    job = world.new_job(db)
    held, free = world.new_task(db, job, "running"), world.new_task(db, job, "running")
    world.move_task(worker, held, "done")
    db.execute("set statement_timeout = '5s'")
    ended = by_function(db, job, "cancelled")
    assert (ended["tasks_done"], ended["tasks_skipped"]) == (0, 2)
    assert one(db, "select status from job_tasks where id = %s", free) == "skipped"
    worker.commit()
    db.execute("select jobsdb.finish_closed_jobs(), jobsdb.fold_waiting()")
    assert one(db, "select status from job_tasks where id = %s", held) == "done"
    assert world.counters(db, job) == {"tasks_total": 2, "tasks_done": 1, "tasks_skipped": 1}
    world.check_counters(db)


def test_open_tasks_are_skipped_although_a_skipped_one_was_just_deleted(
    connect: Callable[..., psycopg.Connection],
) -> None:
    """The deletion waits in a delta, so that skipped before and after the cancel are equal."""
    db, other = connect(), connect(autocommit=False)
    job = world.new_job(db)
    gone, left = world.new_task(db, job, "skipped"), world.new_task(db, job)
    other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # so it leaves a delta
    other.execute("delete from job_tasks where id = %s", [gone])
    other.commit()
    by_function(db, job, "cancelled")
    db.execute("select jobsdb.finish_closed_jobs()")
    assert one(db, "select status from job_tasks where id = %s", left) == "skipped"
    world.check_counters(db)


def test_a_task_of_a_finished_job_can_only_be_skipped(tx: psycopg.Connection) -> None:
    """Rows that still say pending or running are planted: a cancel leaves them for a while."""
    for status in FINISHED:
        for old, new in itertools.product(TASK_MOVES, TASK_MOVES):
            job = world.new_job(tx)
            task = world.new_task(tx, job, old if old not in ("pending", "running") else "done")
            by_update(tx, job, status)
            if old in ("pending", "running"):
                with world.forced(tx):
                    world.move_task(tx, task, old)
            change = "update job_tasks set status = %s where id = %s"
            told = f'task "{task}" cannot go from "{old}" to "{new}"'
            if new == old or (new == "skipped" and new in TASK_MOVES[old]):
                tx.execute(change, [new, task])
            elif new in TASK_MOVES[old]:
                with refused(tx, "JB040", f"{told}, because its job is finished"):
                    tx.execute(change, [new, task])
            else:
                with refused(tx, "JB002", told):
                    tx.execute(change, [new, task])
            tx.execute("delete from jobs where id = %s", [job])


@personas
def test_no_task_is_added_to_a_finished_job(
    tx: psycopg.Connection, who: Callable[[psycopg.Connection], AbstractContextManager[object]]
) -> None:
    for status in FINISHED:
        job = world.new_job(tx, A, status)
        added = "insert into job_tasks (job_id, step, kind) values (%s, 1, 'research')"
        with who(tx):
            with refused(tx, "JB040", "no task can be added, because its job is finished") as info:
                tx.execute(added, [job])
            assert f'Job "{job}" is {status}.' in (info.value.diag.message_detail or "")
            with refused(tx, "JB040"):
                tx.execute(
                    "insert into job_tasks (job_id, step, kind)"
                    " select id, 1, 'research' from jobs where status in ('running', %s)",
                    [status],
                )


# -------------------------------------------------------------------------------- pause and resume


@personas
def test_pause_and_resume_are_no_status(
    tx: psycopg.Connection, who: Callable[[psycopg.Connection], AbstractContextManager[object]]
) -> None:
    for status in ("pending", "running"):
        job = world.new_job(tx, A, status)
        with who(tx):
            paused = row(tx, "select * from pause_job(%s)", job)
            assert (paused["status"], paused["paused_at"]) == (status, one(tx, "select now()"))
            assert row(tx, "select * from pause_job(%s)", job) == paused
            resumed = row(tx, "select * from resume_job(job_id => %s)", job)
            assert (resumed["status"], resumed["paused_at"]) == (status, None)
            assert row(tx, "select * from resume_job(%s)", job) == resumed
    for status in FINISHED:
        job = world.new_job(tx, A, status)
        for call, told in (("pause_job", "paused"), ("resume_job", "resumed")):
            with who(tx), refused(tx, "JB040", f"the job cannot be {told}, because"):
                tx.execute(f"select {call}(%s)", [job])


def test_only_a_running_job_that_is_not_paused_is_runnable(tx: psycopg.Connection) -> None:
    runnable = "select count(*) from jobsdb.runnable_jobs where job_id = %s"
    job = world.new_job(tx, A, "pending")
    seen = []
    for step in (
        "select 1",
        "select pause_job(%(job)s)",
        "select transition_job_status(%(job)s, 'running')",
        "select resume_job(%(job)s)",
        "update jobs set name = 'renamed' where id = %(job)s",
        "select pause_job(%(job)s)",
        "select resume_job(%(job)s)",
        "select cancel_job(%(job)s)",
    ):
        tx.execute(step, {"job": job})
        seen.append(one(tx, runnable, job))
    assert seen == [0, 0, 0, 1, 1, 0, 1, 0]


def test_the_end_of_a_job_ends_its_pause(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    tx.execute("select pause_job(%s)", [job])
    ended = by_function(tx, job, "cancelled")
    assert (ended["status"], ended["paused_at"]) == ("cancelled", None)


def test_a_paused_job_takes_new_tasks_and_ends_old_ones(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    task = world.new_task(tx, job, "running")
    tx.execute("select pause_job(%s)", [job])
    with as_tenant(tx, A):
        world.new_task(tx, job)
        world.move_task(tx, task, "done")
    assert world.counters(tx, job) == {"tasks_total": 2, "tasks_done": 1}


# ------------------------------------------------------------------------------------------ tasks


@personas
@pytest.mark.parametrize("old", TASK_MOVES)
@pytest.mark.parametrize("job_status", ["pending", "running"])
def test_a_task_moves_as_the_contract_says_and_not_otherwise(
    tx: psycopg.Connection,
    who: Callable[[psycopg.Connection], AbstractContextManager[object]],
    old: str,
    job_status: str,
) -> None:
    for new in TASK_MOVES:
        job = world.new_job(tx, A, job_status)
        task = world.new_task(tx, job, old)
        before = row(tx, "select * from job_tasks where id = %s", task)
        change = "update job_tasks set status = %s where id = %s returning *"
        with who(tx):
            if new == old:
                assert row(tx, change, new, task) == before
            elif new in TASK_MOVES[old]:
                assert row(tx, change, new, task)["status"] == new
            else:
                told = f'task "{task}" cannot go from "{old}" to "{new}"'
                with refused(tx, "JB002", told) as info:
                    tx.execute(change, [new, task])
                detail = info.value.diag.message_detail or ""
                assert all(word in detail for word in TASK_MOVES[old]) or "final" in detail
        world.check_counters(tx)


def test_a_new_task_is_pending(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    for status in ("running", "done", "error", "skipped"):
        with refused(tx, "JB002", f'a new task cannot be "{status}"'):
            tx.execute(
                "insert into job_tasks (job_id, step, kind, status) values (%s, 1, 'research', %s)",
                [job, status],
            )
    for who in PERSONAS.values():
        with who(tx), tx.transaction(force_rollback=True):
            added = row(
                tx,
                "insert into job_tasks (job_id, step, kind) values (%s, 1, 'research') returning *",
                job,
            )
            assert added["status"] == "pending"
            assert added["org_id"] == A
            assert (added["batch"], added["retry_count"]) == (0, 0)


def test_an_unknown_kind_is_refused_with_the_known_ones(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    kinds = ["draft_email", "send_email", "create_task", "schedule_call", "check_portal"]
    kinds += ["update_profile", "research", "follow_up", "create_deal"]
    for kind in kinds:
        world.new_task(tx, job, kind=kind)
    with refused(tx, "JB011", '"fax" is no kind of task') as info:
        world.new_task(tx, job, kind="fax")
    assert all(kind in (info.value.diag.message_detail or "") for kind in kinds)
    with refused(tx, "JB011", '"null" is no kind of task'):
        tx.execute("insert into job_tasks (job_id, step) values (%s, 99)", [job])


def test_start_and_end_of_a_task_are_stamped_unless_given(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    now = one(tx, "select now()")
    later = A_TIME + timedelta(minutes=5)

    def change(task: int, assignments: str, *values: object) -> tuple[datetime, datetime]:
        found = row(
            tx,
            f"update job_tasks set {assignments} where id = %s returning started_at, finished_at",
            *values,
            task,
        )
        return found["started_at"], found["finished_at"]

    with as_tenant(tx, A):
        task = world.new_task(tx, job)
        assert change(task, "status = 'running'") == (now, None)
        assert change(task, "status = 'error', error_message = 'x'") == (now, now)
        assert change(task, "status = 'pending'") == (None, None)
        assert change(task, "status = 'running', started_at = %s", A_TIME) == (A_TIME, None)
        assert change(task, "status = 'done', finished_at = %s", later) == (A_TIME, later)
        assert change(task, "status = 'done'") == (A_TIME, later)

        task = world.new_task(tx, job)
        assert change(task, "status = 'done'") == (None, now)

        task = world.new_task(tx, job)
        given = change(task, "status = 'error', started_at = %s, finished_at = %s", A_TIME, later)
        assert given == (A_TIME, later)
        retried = change(task, "status = 'pending', started_at = null, finished_at = null")
        assert retried == (None, None)

        task = world.new_task(tx, job)
        assert change(task, "status = 'running'") == (now, None)
        assert change(task, "status = 'pending'") == (None, None)
        assert change(task, "status = 'skipped'") == (None, now)


def test_the_place_of_a_task_never_changes(tx: psycopg.Connection) -> None:
    job, other = world.new_job(tx), world.new_job(tx)
    task = world.new_task(tx, job)
    for change in ("job_id = %(other)s", "step = 77", "batch = 7", "depends_on = '{1}'"):
        with refused(tx, "JB002", f'task "{task}" cannot change its place'):
            tx.execute(
                f"update job_tasks set {change} where id = %(task)s",
                {"other": other, "task": task},
            )


def test_a_status_changed_by_plain_sql_takes_the_lease_away(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    leased = (
        "update job_tasks set rev = rev + 1, lease_token = gen_random_uuid(),"
        " lease_expires_at = now(), locked_by = 'w' where id = %s"
    )
    for new in ("done", "error", "skipped", "pending"):
        task = world.new_task(tx, job, "running")
        tx.execute(leased, [task])
        world.move_task(tx, task, new)
        left = row(
            tx,
            "select lease_token, lease_expires_at, locked_by from job_tasks where id = %s",
            task,
        )
        assert set(left.values()) == {None}


def test_several_moves_in_one_statement_are_counted_each(tx: psycopg.Connection) -> None:
    job, other = world.new_job(tx), world.new_job(tx)
    for _ in range(5):
        world.new_task(tx, job)
        world.new_task(tx, other)
    with as_tenant(tx, A):
        tx.execute("update job_tasks set status = 'done'")
        tx.execute("set constraints all immediate")
    assert world.counters(tx, job) == {"tasks_total": 5, "tasks_done": 5}
    assert world.counters(tx, other) == {"tasks_total": 5, "tasks_done": 5}


def test_one_statement_that_ends_tasks_and_changes_their_job_does_both_or_nothing(
    tx: psycopg.Connection,
) -> None:
    """The move is counted in the job's row, which PostgreSQL lets a statement change once only."""
    job = world.new_job(tx)
    world.new_task(tx, job)
    tx.execute("set constraints all immediate")
    before = row(tx, "select * from jobs where id = %s", job)
    with as_tenant(tx, A):
        found = world.outcome(
            tx,
            "with ended as (update job_tasks set status = 'done' where job_id = %(job)s"
            " returning job_id) update jobs set name = 'ended' where id in (select * from ended)",
            {"job": job},
            keep=True,
        )
    after = row(tx, "select * from jobs where id = %s", job)
    if found == "27000":
        assert after == before
    else:
        assert (after["name"], after["tasks_done"]) == ("ended", 1)


def test_one_statement_cannot_add_a_task_and_finish_its_job(tx: psycopg.Connection) -> None:
    for verb, status in (("insert", "succeeded"), ("insert", "cancelled"), ("retry", "cancelled")):
        job = world.new_job(tx)
        world.new_task(tx, job, "error", step=1)
        tx.execute("set constraints all immediate")
        change = {
            "insert": "insert into job_tasks (job_id, step, kind) values (%(job)s, 2, 'research')",
            "retry": "update job_tasks set status = 'pending' where job_id = %(job)s",
        }[verb]
        found = world.outcome(
            tx,
            f"with added as ({change} returning 1) update jobs set status = '{status}'"
            " where id = %(job)s",
            {"job": job},
            keep=True,
        )
        live = "select count(*) from job_tasks where job_id = %s and status = 'pending'"
        if found == []:
            tx.execute("select jobsdb.finish_closed_jobs()")
            assert one(tx, live, job) == 0, (verb, status)
        else:
            assert found in ("JB040", "27000"), (verb, status)


def test_one_illegal_move_undoes_the_whole_statement(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    world.new_task(tx, job, "pending")
    world.new_task(tx, job, "done")
    with as_tenant(tx, A), refused(tx, "JB002", 'from "done" to "running"'):
        tx.execute("update job_tasks set status = 'running'")
    assert world.counters(tx, job) == {"tasks_total": 2, "tasks_done": 1}


def test_progress_is_exact_while_changes_wait_to_be_folded_in(
    connect: Callable[..., psycopg.Connection],
) -> None:
    db, old = connect(), connect(autocommit=False)
    old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # so that it leaves deltas
    job = world.new_job(db, review_mode=False)
    tasks = [world.new_task(db, job) for _ in range(7)]
    cards = [world.new_card(db, job) for _ in range(6)]
    before = world.counters(db, job)
    for task, status in zip(tasks, ("done", "error", "error", *["skipped"] * 3), strict=False):
        world.move_task(old, task, status)
    old.execute("delete from job_tasks where id = any(%s)", [[tasks[2], tasks[3]]])
    world.new_task(old, job)
    for card, state in zip(cards, ("approved", "rejected", "done", "todo"), strict=False):
        world.move_card(old, card, state)
    old.execute("delete from kanban_cards where id = %s", [cards[4]])
    old.commit()
    assert world.counters(db, job) == before, "nothing has been folded yet"
    world.check_counters(db)
    with as_tenant(db, A):
        progress = row(db, "select * from get_job_progress(%s)", job)
        live = row(db, "select * from job_metrics_live where job_id = %s", job)
    expected = {"tasks_total": 6, "tasks_done": 1, "tasks_error": 1, "tasks_skipped": 2}
    expected |= {"pending": 2, "running": 0, "cards_total": 5, "cards_in_review": 1}
    expected |= {"cards_approved": 1, "cards_rejected": 1, "cards_done": 1, "cards_other": 1}
    assert {name: progress[name] for name in expected} == expected
    assert (live["tasks_completed"], live["tasks_failed"], live["tasks_skipped"]) == (1, 1, 2)
    world.move_task(db, tasks[6], "running")
    world.new_task(db, job)  # the next statement on that job folds
    assert world.counters(db, job)["tasks_total"] == 7
    assert one(db, "select count(*) from jobsdb.job_deltas") == 0


def test_moves_behind_a_savepoint_that_is_undone_are_not_counted(
    module_db: psycopg.Connection,
) -> None:
    with module_db.transaction():
        job = world.new_job(module_db)
        tasks = [world.new_task(module_db, job) for _ in range(6)]
    with module_db.transaction():
        with module_db.transaction(force_rollback=True):
            for task in tasks[:2]:
                world.move_task(module_db, task, "done")
        world.move_task(module_db, tasks[2], "done")
        with module_db.transaction(force_rollback=True):
            world.move_task(module_db, tasks[3], "error")
            module_db.execute("set constraints all immediate")
        world.move_task(module_db, tasks[4], "skipped")
    assert world.counters(module_db, job) == {
        "tasks_total": 6,
        "tasks_done": 1,
        "tasks_skipped": 1,
    }


def test_deleting_tasks_and_jobs_is_counted_and_refused_to_tenants(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    tasks = {status: world.new_task(tx, job, status) for status in TASK_MOVES}
    card = world.new_card(tx, job, "rejected", task=tasks["done"])
    with as_tenant(tx, A):
        for table in ("job_tasks", "jobs", "kanban_cards"):
            with refused(tx, "42501", "permission denied"):
                tx.execute(f"delete from {table}")
    with as_service(tx):
        tx.execute("delete from job_tasks where status in ('done', 'pending')")
        assert world.counters(tx, job) == {
            "tasks_total": 3,
            "tasks_error": 1,
            "tasks_skipped": 1,
            "cards_total": 1,
            "cards_rejected": 1,
        }
        link = row(tx, "select job_id, task_id from kanban_cards where id = %s", card)
        assert (link["job_id"], link["task_id"]) == (job, None)
        tx.execute("delete from jobs where id = %s", [job])
        link = row(tx, "select job_id, task_id from kanban_cards where id = %s", card)
        assert (link["job_id"], link["task_id"]) == (None, None)
    assert one(tx, "select count(*) from job_tasks where job_id = %s", job) == 0


@pytest.mark.parametrize("status", ["running", *FINISHED])
def test_a_deleted_job_takes_its_tasks_and_unlinks_its_cards_and_runs(
    tx: psycopg.Connection, status: str
) -> None:
    job = world.new_job(tx)
    task = world.new_task(tx, job, "done")
    cards = [
        world.new_card(tx, job, state, task=task)
        for state in ("rejected", "done") + (("approved", "todo") if status == "running" else ())
    ]
    run = one(tx, "insert into agent_runs (org_id, job_id) values (%s, %s) returning id", A, job)
    if status != "running":
        by_update(tx, job, status)
    tx.execute("select refresh_job_metrics()")
    with as_service(tx):
        tx.execute("delete from jobs where id = %s", [job])
    assert one(tx, "select count(*) from job_tasks where job_id = %s", job) == 0
    left = tx.execute("select distinct job_id, task_id from kanban_cards").fetchall()
    assert left == [(None, None)]
    assert one(tx, "select count(*) from kanban_cards") == len(cards)
    assert one(tx, "select job_id from agent_runs where id = %s", run) is None
    for table in ("runnable_jobs", "closed_jobs", "unfrozen_jobs", "frozen_job_metrics"):
        assert one(tx, f"select count(*) from jobsdb.{table} where job_id = %s", job) == 0, table
    tx.execute("select jobsdb.fold_waiting()")
    assert one(tx, "select count(*) from jobsdb.job_deltas") == 0


def test_truncating_tasks_and_cards_sets_their_counters_to_nothing(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    world.new_task(tx, job, "done")
    world.new_card(tx, job, "approved")
    tx.execute("truncate kanban_cards")
    assert world.counters(tx, job) == {"tasks_total": 1, "tasks_done": 1}
    world.new_card(tx, job)
    tx.execute("truncate job_tasks cascade")
    assert world.counters(tx, job) == {}


def test_who_acts_is_the_role_that_was_taken_not_the_login(tx: psycopg.Connection) -> None:
    """A superuser's session that has taken a tenant's role is that tenant."""
    job = world.new_job(tx)
    with as_role(tx, "authenticated", {}), refused(tx, "JB020"):
        by_function(tx, job, "cancelled")


def test_the_times_of_a_task_fit_its_status_whoever_writes_them(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    for status, ended in (("pending", False), ("running", False), ("done", True), ("error", True)):
        task = world.new_task(tx, job, status)
        with as_tenant(tx, A):
            for value in ("null", "now()"):
                tx.execute(f"update job_tasks set finished_at = {value} where id = %s", [task])
                found = one(tx, "select finished_at is not null from job_tasks where id = %s", task)
                assert found is ended, (status, value)
