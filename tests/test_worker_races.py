"""Workers at once, stepped: what one has begun and not committed, and what another does meanwhile.

The sessions are workers (``service_role`` without a ``sub``), the tenant, and the owner, who lets
leases end. After every step a witness recounts; at the end every running task has its lease.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from stepping import Session, Stage, open_stage
from test_workers import WRONG_LEASES

CLAIMS = {
    "fast": "select id, lease_token from public.claim_tasks('w', 1, '{research}')",
    "in turn": "select id, lease_token from public.claim_tasks('w')",
    "many": "select id, lease_token from public.claim_tasks('w', 2)",
}
CLAIM = CLAIMS["in turn"]
ENDS = {
    "complete": "select public.complete_tasks(%(ids)s, %(token)s)",
    "fail": "select public.fail_tasks(%(ids)s, %(token)s)",
    "give up": "select public.fail_tasks(%(ids)s, %(token)s, retry => false)",
    "release": "select public.release_tasks(%(ids)s, %(token)s)",
    "next": "select verdicts from public.complete_and_claim("
    "%(ids)s, %(token)s, null, 'w', 1, '{follow_up}')",
}
HEARTBEAT = "select public.heartbeat_tasks(%(ids)s, %(token)s)"
STATUS = {
    "complete": "done",
    "next": "done",
    "fail": "pending",
    "give up": "error",
    "release": "pending",
    "heartbeat": "running",
}
CALLS = {**ENDS, "heartbeat": HEARTBEAT}
TICK = "select (t ->> 'rescued')::int from public.tick() as t"
CANCEL = "select (public.cancel_job(%(job)s)).status"
PAUSE = "select (public.pause_job(%(job)s)).status"
RETRY = "select public.retry_job(%(job)s)"
PROGRESS = (
    "select tasks_done, tasks_error, tasks_skipped, pending, running"
    " from public.get_job_progress(%(job)s)"
)


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage
        at_rest(stage)


def at_rest(stage: Stage) -> None:
    """Let everything come to rest, and find it right."""
    stage.watch.execute(
        "update public.job_tasks set waits_until = now(), rev = rev + 1"
        " where waits_until is not null"
    )
    stage.watch.execute(
        "select public.resume_job(id) from public.jobs"
        " where paused_at is not null and status in ('pending', 'running')"
    )
    stage.watch.execute("select public.tick()")
    stage.rest()
    assert stage.watch.execute(WRONG_LEASES).fetchall() == []


def cast(stage: Stage, tasks: int = 1, kind: str = "research") -> dict[str, Any]:
    """A running job with claimable tasks; the names statements use."""
    job = stage.watch.execute(
        "insert into public.jobs (org_id, name) values (%s, 'a job') returning id", [stage.org]
    ).fetchone()[0]
    names = {"job": job, "org": stage.org}
    add(stage, names, tasks, kind)
    stage.watch.execute("select public.transition_job_status(%s, 'running')", [job])
    return names


def add(stage: Stage, names: dict[str, Any], tasks: int, kind: str = "research") -> None:
    stage.watch.execute(
        "insert into public.job_tasks (job_id, step, kind, depends_on)"
        " select %s, nextval('jobsdb.task_order'), %s, '{}' from generate_series(1, %s)",
        [names["job"], kind, tasks],
    )


def agent(stage: Stage, role: str = "service_role") -> Session:
    """A session that does not, by chance, look after what lies idle or move a mark."""
    session = stage.session(role)
    session.run("select setseed(0.5)")
    return session


def hold(session: Session, names: dict[str, Any], claim: str = CLAIM) -> dict[str, Any]:
    """Claim, and return the names with what is held."""
    rows = session.run(claim)
    assert rows, "nothing was claimed"
    return {**names, "ids": [r[0] for r in rows], "token": rows[0][1]}


def end_leases(stage: Stage) -> None:
    stage.watch.execute(
        "update public.job_tasks set lease_expires_at = now() - interval '1 s', rev = rev + 1"
        " where lease_expires_at is not null"
    )
    stage.watch.execute(
        "update jobsdb.leases set look_at = now() - interval '1 s' where look_at <> 'infinity'"
    )


def status(stage: Stage, names: dict[str, Any]) -> list[str]:
    found = stage.watch.execute(
        "select status from public.job_tasks where id = any(%(ids)s) order by id", names
    )
    return [row[0] for row in found]


def verdict(rows: list[tuple[Any, ...]]) -> str:
    """The verdict of a call about one task."""
    ((verdicts,),) = rows
    (only,) = verdicts
    return str(only)


# -------------------------------------------------------------------------------- claim and claim


@pytest.mark.parametrize("first", CLAIMS)
@pytest.mark.parametrize("second", CLAIMS)
def test_no_two_claims_get_the_same_task(stage: Stage, first: str, second: str) -> None:
    names = cast(stage, 4)
    a, b = agent(stage), agent(stage)
    a.begin()
    mine = a.run(CLAIMS[first])
    claim = b.start(CLAIMS[second])
    assert claim.ends()
    theirs = claim.rows()
    assert mine
    assert theirs
    assert not {t for t, _ in mine} & {t for t, _ in theirs}
    assert mine[0][1] != theirs[0][1]
    assert a.end() == "ok"
    assert b.run(PROGRESS, names)[0][-1] == len(mine) + len(theirs)


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("way", CLAIMS)
def test_the_last_task_is_claimed_once(stage: Stage, way: str, end: str) -> None:
    cast(stage)
    a, b = agent(stage), agent(stage)
    a.begin()
    mine = a.run(CLAIMS[way])
    claim = b.start(CLAIMS[way])
    assert claim.ends()
    assert claim.rows() == []
    assert a.end(end) == "ok"
    later = b.run(CLAIMS[way])
    assert [t for t, _ in later] == ([] if end == "commit" else [t for t, _ in mine])


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("way", CLAIMS)
def test_an_old_snapshot_claims_nothing_twice(stage: Stage, way: str, level: str) -> None:
    cast(stage)
    old, new = agent(stage), agent(stage)
    old.begin(level)
    mine = hold(new, {})
    assert old.attempt(CLAIMS[way]) in ("ok", "40001")
    old.end("rollback")
    assert new.run("select attempt, status from public.job_tasks") == [(1, "running")]
    assert verdict(new.run(ENDS["complete"], mine)) == "ok"


# ---------------------------------------------------------------------------------------- rescue


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("rescuer", ["tick", "claim"])
def test_who_comes_after_the_rescue_is_revoked(
    stage: Stage, rescuer: str, call: str, end: str
) -> None:
    cast(stage)
    late, other = agent(stage), agent(stage)
    held = hold(late, {})
    end_leases(stage)
    other.begin()
    rescued = other.run(TICK if rescuer == "tick" else CLAIM)
    assert rescued
    step = late.start(CALLS[call], held)
    assert step.waits(), "only the row itself says who has it"
    assert other.end(end) == "ok"
    assert verdict(step.rows()) == ("revoked" if end == "commit" else "ok")
    stage.look()
    if end == "rollback":
        assert status(stage, held) == [STATUS[call]]
    else:
        assert status(stage, held) == ["pending" if rescuer == "tick" else "running"]
        assert verdict(late.run(HEARTBEAT, held)) == "revoked"


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("call", CALLS)
def test_who_comes_before_the_rescue_wins(stage: Stage, call: str, end: str) -> None:
    cast(stage)
    late, other = agent(stage), agent(stage)
    held = hold(late, {})
    end_leases(stage)
    late.begin()
    assert verdict(late.run(CALLS[call], held)) == "ok"
    claim = other.start(CLAIM)
    assert claim.ends()
    assert claim.rows() == []
    assert late.end(end) == "ok"
    if end == "commit":
        assert other.run(TICK) == [(0,)]
        assert status(stage, held) == [STATUS[call]]
    else:
        assert [t for t, _ in other.run(CLAIM)] == held["ids"]
        assert verdict(late.run(CALLS[call], held)) == "revoked"


def test_a_rescue_leaves_the_part_of_a_batch_that_is_being_kept(stage: Stage) -> None:
    cast(stage, 2)
    late, other = agent(stage), agent(stage)
    held = hold(late, {}, CLAIMS["many"])
    end_leases(stage)
    late.begin()
    late.run(HEARTBEAT, {**held, "ids": held["ids"][:1]})
    assert other.run(TICK) == [(0,)], "the lease is just being changed"
    assert late.end() == "ok"
    assert other.run(TICK) == [(1,)]
    assert status(stage, held) == ["running", "pending"]
    assert other.run(TICK) == [(0,)]
    assert late.run(ENDS["complete"], held) == [(["ok", "revoked"],)]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_of_two_ticks_each_does_its_part(stage: Stage, end: str) -> None:
    cast(stage, 2)
    a, b = agent(stage), agent(stage)
    hold(a, {})
    hold(b, {})
    end_leases(stage)
    a.begin()
    assert a.run(TICK) == [(2,)]
    tick = b.start(TICK)
    assert tick.ends()
    assert tick.rows() == [(0,)]
    assert a.end(end) == "ok"
    assert b.run(TICK) == [(0 if end == "commit" else 2,)]
    assert b.run("select retry_count from public.job_tasks") == [(1,), (1,)]


def test_a_rescue_that_gives_up_is_counted_once(stage: Stage) -> None:
    names = cast(stage)
    stage.watch.execute("update public.job_tasks set max_retries = 0")
    a, b = agent(stage), agent(stage)
    hold(a, {})
    end_leases(stage)
    a.begin()
    assert a.run(TICK) == [(1,)]
    assert b.run(TICK) == [(0,)]
    assert a.end() == "ok"
    assert b.run(PROGRESS, names) == [(0, 1, 0, 0, 0)]


@pytest.mark.parametrize("call", ["complete", "next"])
def test_a_look_at_a_lease_that_goes_on_stops_nobody(stage: Stage, call: str) -> None:
    """tick() may also refresh the metrics in the same transaction, which takes its time."""
    cast(stage)
    worker, other = agent(stage), agent(stage)
    held = hold(worker, {}, CLAIMS["fast"])
    stage.watch.execute("update jobsdb.leases set look_at = now() - interval '1 s'")
    worker.run(HEARTBEAT, held)
    other.begin()
    assert other.run(TICK) == [(0,)]
    step = worker.start(CALLS[call], held)
    waits = step.waits()
    assert other.end() == "ok"
    assert verdict(step.rows()) == "ok"
    assert not waits


# ---------------------------------------------------------------------------------------- cancel


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_under_a_cancel_waits_and_hears_of_it(stage: Stage, call: str, end: str) -> None:
    names = cast(stage, 2)
    worker, person = agent(stage), stage.session()
    held = hold(worker, names)
    person.begin()
    person.run(CANCEL, names)
    step = worker.start(CALLS[call], held)
    assert step.waits()
    assert person.end(end) == "ok"
    assert verdict(step.rows()) == ("cancelled" if end == "commit" else "ok")
    stage.look()
    if end == "commit":
        assert status(stage, held) == ["skipped"]
        assert worker.run(PROGRESS, names) == [(0, 0, 2, 0, 0)]
    else:
        assert status(stage, held) == [STATUS[call]]


@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_completion_in_flight_beats_a_cancel(stage: Stage, level: str, end: str) -> None:
    names = cast(stage, 3)
    worker, person = agent(stage), stage.session()
    held = hold(worker, names)
    worker.begin(level)
    assert verdict(worker.run(ENDS["complete"], held)) == "ok"
    cancel = person.start(CANCEL, names)
    cancel.waits()  # for the counter, where that is in the job's row; never for the task
    stage.look()
    assert worker.end(end) == "ok"
    assert cancel.rows() == [("cancelled",)]
    done = int(end == "commit")
    assert person.run(PROGRESS, names) == [(done, 0, 3 - done, 0, 0)]
    expected = "revoked" if done else "cancelled"
    assert verdict(worker.run(HEARTBEAT, held)) in (expected, "cancelled")
    assert status(stage, held)[0] in (("done",) if done else ("skipped", "running"))


@pytest.mark.parametrize("call", ["complete", "next", "give up"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_end_of_a_task_the_cancel_has_not_reached_counts(
    stage: Stage, call: str, end: str
) -> None:
    """A cancel marks at most 1,000 rows; whoever ends another meanwhile was first."""
    names = cast(stage, 1_003)
    worker, person = agent(stage), stage.session()
    held = hold(worker, names)
    person.begin()
    person.run(CANCEL, names)
    step = worker.start(CALLS[call], held)
    assert step.ends()
    assert verdict(step.rows()) == "ok"
    stage.look()
    assert person.end(end) == "ok"
    done, error = (0, 1) if call == "give up" else (1, 0)
    left = (1_002, 0) if end == "commit" else (0, 1_002)
    assert worker.run(PROGRESS, names) == [(done, error, *left, 0)]
    at_rest(stage)
    assert status(stage, held) == [STATUS[call]]
    assert worker.run(PROGRESS, names) == [(done, error, *left, 0)]


@pytest.mark.parametrize("call", ["heartbeat", "fail", "release"])
def test_what_goes_on_while_a_cancel_does_not_reach_it_is_skipped_later(
    stage: Stage, call: str
) -> None:
    names = cast(stage, 1_003)
    worker, person = agent(stage), stage.session()
    held = hold(worker, names)
    person.begin()
    person.run(CANCEL, names)
    assert verdict(worker.run(CALLS[call], held)) == "ok"
    assert person.end() == "ok"
    assert worker.run(CLAIM) == []
    verdicts = ("cancelled",) if call == "heartbeat" else ("cancelled", "revoked")
    assert verdict(worker.run(HEARTBEAT, held)) in verdicts
    at_rest(stage)
    assert status(stage, held) == ["skipped"]


@pytest.mark.parametrize("how", ["claim", "tick", "refresh"])
@pytest.mark.parametrize("way", CLAIMS)
def test_a_claim_in_flight_under_a_cancel_leaves_a_straggler_that_is_skipped(
    stage: Stage, way: str, how: str
) -> None:
    names = cast(stage, 4)
    worker, person = agent(stage), stage.session()
    worker.begin()
    held = hold(worker, names, CLAIMS[way])
    cancel = person.start(CANCEL, names)
    assert cancel.ends(), "no status change waits for a task"
    assert cancel.rows() == [("cancelled",)]
    stage.look()
    assert worker.end() == "ok"
    assert set(status(stage, held)) == {"running"}
    assert person.run(PROGRESS, names) == [(0, 0, 4, 0, 0)]
    assert {v for ((vs,),) in [worker.run(ENDS["complete"], held)] for v in vs} == {"cancelled"}
    if how == "claim":
        end_leases(stage)
        assert worker.run(CLAIM) == []
    else:
        worker.run(TICK if how == "tick" else "select public.refresh_job_metrics()")
    assert set(status(stage, held)) == {"skipped"}
    assert person.run(PROGRESS, names) == [(0, 0, 4, 0, 0)]


def test_a_rescue_in_flight_under_a_cancel_revives_nothing(stage: Stage) -> None:
    names = cast(stage)
    worker, person = agent(stage), stage.session()
    held = hold(worker, names)
    end_leases(stage)
    worker.begin()
    assert worker.run(TICK) == [(1,)]
    cancel = person.start(CANCEL, names)
    assert cancel.ends()
    assert cancel.rows() == [("cancelled",)]
    assert worker.end() == "ok"
    assert worker.run(CLAIM) == []
    at_rest(stage)
    assert status(stage, held) == ["skipped"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_job_does_not_succeed_under_a_claimed_task(stage: Stage, end: str) -> None:
    names = cast(stage)
    worker, person = agent(stage), stage.session()
    held = hold(worker, names)
    succeed = "select (public.transition_job_status(%(job)s, 'succeeded')).status"
    worker.begin()
    assert verdict(worker.run(ENDS["complete"], held)) == "ok"
    step = person.start(succeed, names)
    step.waits()
    assert worker.end(end) == "ok"
    assert step.outcome() == ("ok" if end == "commit" else "JB040")


# ----------------------------------------------------------------------------------------- pause


@pytest.mark.parametrize("call", CALLS)
def test_a_call_under_a_pause_waits_for_nobody_and_counts(stage: Stage, call: str) -> None:
    names = cast(stage, 2)
    worker, person = agent(stage), stage.session()
    held = hold(worker, names)
    person.begin()
    person.run(PAUSE, names)
    step = worker.start(CALLS[call], held)
    assert step.ends()
    assert verdict(step.rows()) == "ok", "the pause is not there yet"
    stage.look()
    assert person.end() == "ok"
    assert status(stage, held) == [STATUS[call]]
    assert worker.run(CLAIM) == []
    counted = {"complete": (1, 0), "next": (1, 0), "give up": (0, 1)}
    assert worker.run(PROGRESS, names)[0][:2] == counted.get(call, (0, 0))


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("way", CLAIMS)
def test_a_pause_waits_for_no_claim(stage: Stage, way: str, end: str) -> None:
    names = cast(stage, 3)
    worker, person = agent(stage), stage.session()
    worker.begin()
    held = hold(worker, names, CLAIMS[way])
    pause = person.start(PAUSE, names)
    assert pause.ends()
    assert pause.outcome() == "ok"
    assert worker.end(end) == "ok"
    assert worker.run(CLAIMS[way]) == []
    expected = {"paused"} if end == "commit" else {"revoked"}
    assert set(worker.run(HEARTBEAT, held)[0][0]) == expected
    assert set(worker.run(ENDS["complete"], held)[0][0]) == expected
    done = len(held["ids"]) if end == "commit" else 0
    assert person.run(PROGRESS, names) == [(done, 0, 0, 3 - done, 0)]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("way", CLAIMS)
def test_a_claim_waits_for_no_pause(stage: Stage, way: str, end: str) -> None:
    names = cast(stage, 3)
    worker, person = agent(stage), stage.session()
    person.begin()
    person.run(PAUSE, names)
    claim = worker.start(CLAIMS[way])
    assert claim.ends()
    held = claim.rows()
    assert held, "the pause is not there yet"
    assert person.end(end) == "ok"
    assert bool(worker.run(CLAIMS[way])) == (end == "rollback")
    task, token = held[0]
    expected = "paused" if end == "commit" else "ok"
    assert verdict(worker.run(HEARTBEAT, {"ids": [task], "token": token})) == expected


# ----------------------------------------------------------------------------------------- retry


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("call", ["complete", "next", "heartbeat", "fail"])
def test_a_late_call_under_a_retry_is_revoked(stage: Stage, call: str, end: str) -> None:
    names = cast(stage)
    worker, person = agent(stage), stage.session()
    operator = agent(stage)
    held = hold(worker, names)
    person.run("update public.job_tasks set status = 'error' where id = any(%(ids)s)", held)
    operator.begin()
    assert operator.run(RETRY, names) == [(1,)]
    step = worker.start(CALLS[call], held)
    assert step.ends(), "the task is in error already: there is nothing to wait for"
    assert verdict(step.rows()) == "revoked"
    assert operator.end(end) == "ok"
    assert verdict(worker.run(CALLS[call], held)) == "revoked"
    assert status(stage, held) == ["pending" if end == "commit" else "error"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_retry_does_not_wait_for_whoever_is_just_failing(stage: Stage, end: str) -> None:
    names = cast(stage, 2)
    worker, operator = agent(stage), agent(stage)
    held = hold(worker, names, CLAIMS["many"])
    first = {**held, "ids": held["ids"][:1]}
    second = {**held, "ids": held["ids"][1:]}
    worker.run(ENDS["give up"], first)
    worker.begin()
    worker.run(ENDS["give up"], second)
    retry = operator.start(RETRY, names)
    assert retry.ends()
    assert retry.rows() == [(1,)]
    assert worker.end(end) == "ok"
    assert operator.run(RETRY, names) == [(int(end == "commit"),)]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_of_two_retries_one_counts(stage: Stage, end: str) -> None:
    names = cast(stage)
    a, b = agent(stage), agent(stage)
    a.run(ENDS["give up"], hold(a, names))
    a.begin()
    assert a.run(RETRY, names) == [(1,)]
    retry = b.start(RETRY, names)
    assert retry.ends()
    assert retry.rows() == [(0,)]
    assert a.end(end) == "ok"
    assert b.run(RETRY, names) == [(int(end == "rollback"),)]
    assert b.run(PROGRESS, names) == [(0, 0, 0, 1, 0)]


@pytest.mark.parametrize("first", ["retry", "cancel"])
def test_a_retry_and_a_cancel_leave_no_live_task(stage: Stage, first: str) -> None:
    names = cast(stage)
    operator, person = agent(stage), stage.session()
    operator.run(ENDS["give up"], hold(operator, names))
    one, other = (operator, person) if first == "retry" else (person, operator)
    one.begin()
    one.run(RETRY if first == "retry" else CANCEL, names)
    step = other.start(CANCEL if first == "retry" else RETRY, names)
    assert step.waits(), "who brings work to life and who closes the job wait for each other"
    assert one.end() == "ok"
    assert step.outcome() == ("ok" if first == "retry" else "JB040")
    expected = [(0, 0, 1, 0, 0)] if first == "retry" else [(0, 1, 0, 0, 0)]
    assert person.run(PROGRESS, names) == expected
    assert operator.run(CLAIM) == []


# ------------------------------------------------------------------------------------- plain SQL


@pytest.mark.parametrize("move", ["done", "error", "pending", "skipped"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_plain_sql_in_flight_beats_the_worker(stage: Stage, move: str, end: str) -> None:
    cast(stage)
    worker, person = agent(stage), stage.session()
    held = hold(worker, {"move": move})
    person.begin()
    person.run("update public.job_tasks set status = %(move)s where id = any(%(ids)s)", held)
    step = worker.start(ENDS["complete"], held)
    assert step.waits()
    assert person.end(end) == "ok"
    assert verdict(step.rows()) == ("revoked" if end == "commit" else "ok")
    assert status(stage, held) == [move if end == "commit" else "done"]


@pytest.mark.parametrize("way", CLAIMS)
def test_a_claim_leaves_what_plain_sql_is_changing(stage: Stage, way: str) -> None:
    cast(stage, 2)
    worker, person = agent(stage), stage.session()
    first = stage.watch.execute("select min(id) from public.job_tasks").fetchone()[0]
    person.begin()
    person.run("update public.job_tasks set status = 'skipped' where id = %s", [first])
    claim = worker.start(CLAIMS[way])
    assert claim.ends()
    assert [t for t, _ in claim.rows()] == [first + 1]
    assert person.end() == "ok"
    assert worker.run(CLAIMS[way]) == []


def test_plain_sql_after_a_claim_in_flight_takes_the_task_away(stage: Stage) -> None:
    cast(stage)
    worker, person = agent(stage), stage.session()
    worker.begin()
    held = hold(worker, {})
    step = person.start("update public.job_tasks set status = 'done' where id = any(%(ids)s)", held)
    assert step.waits()
    assert worker.end() == "ok"
    assert step.outcome() == "ok"
    assert verdict(worker.run(ENDS["complete"], held)) == "revoked"


def test_assert_lease_keeps_the_task_until_the_commit(stage: Stage) -> None:
    names = cast(stage)
    worker, other = agent(stage), agent(stage)
    held = hold(worker, names)
    end_leases(stage)
    worker.begin()
    worker.run("select public.assert_lease((%(ids)s::bigint[])[1], %(token)s)", held)
    assert other.run(TICK) == [(0,)]
    worker.run(
        "insert into public.kanban_cards (org_id, job_id, task_id, type, title)"
        " values (%(org)s, %(job)s, (%(ids)s::bigint[])[1], 'send_email', 'Hello')",
        held,
    )
    assert worker.end() == "ok"
    assert other.run(TICK) == [(1,)]
    refused = worker.attempt("select public.assert_lease((%(ids)s::bigint[])[1], %(token)s)", held)
    assert refused == "JB031"


# ---------------------------------------------------------------------------------------- limits


def limit(stage: Stage, **limits: Any) -> None:
    given = {"org_id": stage.org, **limits}
    named = ", ".join(f"{name} => %({name})s" for name in given)
    stage.watch.execute(f"select jobsdb.limit_work({named})", given)


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("limits", [{"max_running": 1}, {"max_starts": 1, "per": "1 hour"}])
@pytest.mark.parametrize("way", CLAIMS)
def test_two_claimers_never_exceed_a_limit(
    stage: Stage, way: str, limits: dict[str, Any], end: str
) -> None:
    cast(stage, 3)
    cast(stage, 3)
    limit(stage, **limits)
    a, b = agent(stage), agent(stage)
    a.begin()
    assert len(a.run(CLAIMS[way])) == 1
    claim = b.start(CLAIMS[way])
    assert claim.ends(), "whoever finds the limit taken goes on"
    assert claim.rows() == []
    assert a.end(end) == "ok"
    assert len(b.run(CLAIMS[way])) == (0 if end == "commit" else 1)
    assert b.run(CLAIMS[way]) == []


def test_a_limit_that_is_taken_leaves_the_work_of_others(stage: Stage) -> None:
    limited = cast(stage, 3)
    limit(stage, max_running=1)
    stage.org = uuid4()
    free = cast(stage, 2)
    a, b = agent(stage), agent(stage)
    for_org = "select job_id from public.claim_tasks('w', org_id => %(org)s)"
    a.begin()
    assert a.run(for_org, limited) == [(limited["job"],)]
    for _ in range(2):
        claim = b.start("select job_id from public.claim_tasks('w')")
        assert claim.ends()
        assert claim.rows() == [(free["job"],)]
    assert b.run(CLAIM) == []


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_an_old_snapshot_does_not_exceed_a_limit(stage: Stage, level: str) -> None:
    names = cast(stage, 1)
    add(stage, names, 1, "follow_up")
    limit(stage, max_running=1)
    old, new = agent(stage), agent(stage)
    old.begin(level)
    assert len(new.run(CLAIMS["fast"])) == 1
    old.attempt("select id from public.claim_tasks('w', 1, '{follow_up}')")
    old.end()
    assert new.run(PROGRESS, names)[0][-1] == 1


# ---------------------------------------------------------------------------------------- fan-in


@pytest.mark.parametrize("last", ["a", "b"])
@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
@pytest.mark.parametrize("call", ["complete", "next", "skip"])
def test_two_ends_of_a_fan_in_release_their_successor(
    stage: Stage, call: str, level: str, last: str
) -> None:
    names = cast(stage, 0)
    stage.watch.execute(
        "insert into public.job_tasks (job_id, step, kind, depends_on) values"
        " (%(job)s, 1, 'research', '{}'), (%(job)s, 2, 'research', '{}'),"
        " (%(job)s, 3, 'research', '{1,2}')",
        names,
    )
    a, b = agent(stage), agent(stage)
    first, second = hold(a, names), hold(b, names)
    a.begin(level)
    b.begin(level)
    skip = "update public.job_tasks set status = 'skipped' where id = any(%(ids)s)"
    a.run(skip if call == "skip" else ENDS[call], first)
    other = b.start(ENDS["complete"], second)
    assert other.ends()
    assert verdict(other.rows()) == "ok"
    for session in (b, a) if last == "a" else (a, b):
        assert session.end() == "ok"
        stage.look()
    assert [t for t, _ in a.run(CLAIM)] == [second["ids"][0] + 1]


# --------------------------------------------------------------------- who waits for whom: nobody

HOLDS = {
    "the job": "select from public.jobs where id = %(job)s for update",
    "the task": "select from public.job_tasks where id = %(task)s for update",
    "the runnable row": "select from jobsdb.runnable_jobs where job_id = %(job)s for update",
    "the leases": "select from jobsdb.leases for update",
}


@pytest.mark.parametrize("way", [*CLAIMS, "next"])
@pytest.mark.parametrize("what", HOLDS)
def test_a_claim_waits_for_nobody(stage: Stage, what: str, way: str) -> None:
    names = cast(stage, 4)
    worker, holder = agent(stage), stage.session("none")
    if way == "next":
        names |= hold(worker, names)
    first = "select min(id) from public.job_tasks where status = 'pending'"
    names["task"] = stage.watch.execute(first).fetchone()[0]
    holder.begin()
    if not (what == "the leases" and way == "next"):  # its own lease is its own
        holder.run(HOLDS[what], names)
    statement = ENDS["next"].replace("verdicts", "id, lease_token").replace("follow_up", "research")
    claim = worker.start(statement if way == "next" else CLAIMS[way], names)
    assert claim.ends()
    expected = names["task"] + (what == "the task")
    assert claim.rows()[0][0] == expected
    stage.look()
    assert holder.end() == "ok"


def abandon(stage: Stage) -> tuple[dict[str, Any], Session]:
    """A job all of whose tasks are lost, with a delta to be folded; a worker."""
    names = cast(stage, 2)
    worker = agent(stage)
    hold(worker, names, CLAIMS["many"])
    end_leases(stage)
    stage.watch.execute(
        "insert into jobsdb.job_deltas (job_id, org_id) values (%(job)s, %(org)s)", names
    )
    return names, worker


FREE = ["the task", "the runnable row", "the leases"]


@pytest.mark.parametrize("what", ["the job", *FREE])
def test_a_tick_waits_for_nobody(stage: Stage, what: str) -> None:
    names, worker = abandon(stage)
    names["task"] = stage.watch.execute("select min(id) from public.job_tasks").fetchone()[0]
    holder = stage.session("none")
    holder.begin()
    holder.run(HOLDS[what], names)
    tick = worker.start(TICK)
    waits = tick.waits()
    assert holder.end() == "ok"
    assert not waits
    assert tick.rows() == [({"the task": 1, "the leases": 0}.get(what, 2),)]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            "the job",
            marks=pytest.mark.xfail(
                reason="a row changed twice in a transaction has its foreign key checked",
                strict=True,
            ),
        ),
        *FREE,
    ],
)
def test_a_claim_of_what_it_has_just_rescued_waits_for_nobody(stage: Stage, what: str) -> None:
    names, worker = abandon(stage)
    names["task"] = stage.watch.execute("select min(id) from public.job_tasks").fetchone()[0]
    holder = stage.session("none")
    holder.begin()
    holder.run(HOLDS[what], names)
    claim = worker.start(CLAIM)
    waits = claim.waits()
    assert holder.end() == "ok"
    assert claim.outcome() == "ok"
    assert not waits


@pytest.mark.xfail(
    reason="the foreign key of the successor, changed twice, is checked", strict=True
)
@pytest.mark.parametrize("name", ["pause", "cancel"])
def test_a_claim_of_what_it_has_just_released_waits_for_nobody(stage: Stage, name: str) -> None:
    names = cast(stage, 0)
    stage.watch.execute(
        "insert into public.job_tasks (job_id, step, kind, depends_on)"
        " select %(job)s, s, 'research', '{}' from generate_series(11, 1020) as s",
        names,
    )
    stage.watch.execute(
        "insert into public.job_tasks (job_id, step, kind, depends_on, priority) values"
        " (%(job)s, 1, 'research', '{}', 9), (%(job)s, 2, 'research', '{1}', 9)",
        names,
    )
    worker, person = agent(stage), stage.session()
    held = hold(worker, names, CLAIMS["fast"])
    person.begin()
    person.run(MEANWHILE[name], names)
    step = worker.start(ENDS["next"].replace("follow_up", "research"), held)
    waits = step.waits()
    assert person.end() == "ok"
    assert verdict(step.rows()) == "ok"
    assert not waits


def test_a_pause_and_a_claim_that_rescues_an_urgent_task_do_not_deadlock(stage: Stage) -> None:
    """What pause_job does, taken apart: it takes the job's row, then the runnable row."""
    names = cast(stage)
    stage.watch.execute("update public.job_tasks set priority = 9")
    worker, other = agent(stage), stage.session("none")
    hold(worker, names)
    end_leases(stage)
    stage.watch.execute("select setval('jobsdb.task_order', 100000)")
    add(stage, names, 1)
    stage.watch.execute("select jobsdb.move_mark(%(job)s, 'research', true)", names)
    hold(worker, names)
    other.begin()
    other.run(HOLDS["the job"], names)
    claim = worker.start(CLAIM)
    claim.waits()
    pause = other.start(PAUSE, names)
    waits = pause.waits()
    other.conn.cancel_safe()
    pause.outcome()
    other.start("rollback").outcome()
    assert claim.outcome() == "ok"
    assert not waits, "two sessions wait for each other"


MEANWHILE = {
    "claim": CLAIM,
    "claim fast": CLAIMS["fast"],
    "complete": ENDS["complete"],
    "heartbeat": HEARTBEAT,
    "fail": ENDS["give up"],
    "release": ENDS["release"],
    "retry": RETRY,
    "tick": TICK,
    "refresh": "select public.refresh_job_metrics()",
    "pause": PAUSE,
    "cancel": CANCEL,
    "rename": "update public.jobs set name = 'renamed' where id = %(job)s",
    "plan": "insert into public.job_tasks (job_id, step, kind) values (%(job)s, 99999, 'research')",
    "plan urgent": "insert into public.job_tasks (job_id, step, kind, priority)"
    " values (%(job)s, 99998, 'research', 9)",
    "plain done": "update public.job_tasks set status = 'done' where id = any(%(ids)s)",
    "delete": "delete from public.job_tasks where id = any(%(ids)s)",
}
OPERATOR = ("rename", "plan", "plan urgent", "plain done")


@pytest.mark.parametrize("way", CLAIMS)
def test_nobody_waits_for_a_claimer(stage: Stage, way: str) -> None:
    claimer = agent(stage)
    agents = {role: agent(stage, role) for role in ("service_role", "authenticated")}
    for name, statement in MEANWHILE.items():
        names = cast(stage, 5)
        for session in (claimer, agents["service_role"]):
            session.run("select setseed(0.5)")
        names = hold(agents["service_role"], names)
        claimer.begin()
        claimer.run(CLAIMS[way])
        role = "authenticated" if name in (*OPERATOR, "pause", "cancel") else "service_role"
        step = agents[role].start(statement, names)
        assert step.ends(), f"{name} waits for a claimer"
        assert step.outcome() == "ok", name
        stage.look()
        assert claimer.end() == "ok"
        at_rest(stage)
        stage.clear()


@pytest.mark.xfail(reason="the foreign key of a row changed twice shares the job", strict=True)
@pytest.mark.parametrize("name", ["pause", "cancel"])
def test_no_status_change_waits_for_a_claimer_who_looked_twice(stage: Stage, name: str) -> None:
    """Who finds nothing at first looks after what lies idle, and moves the mark."""
    names = cast(stage, 3)
    claimer, person = agent(stage), stage.session()
    hold(claimer, names, "select id, lease_token from public.claim_tasks('w', 3)")
    end_leases(stage)
    claimer.begin()
    assert len(claimer.run(CLAIM)) == 1
    step = person.start(MEANWHILE[name], names)
    waits = step.waits()
    assert claimer.end() == "ok"
    assert step.outcome() == "ok"
    assert not waits


def test_an_urgent_task_that_comes_while_the_mark_is_moved_is_found(stage: Stage) -> None:
    names = cast(stage, 0)
    stage.watch.execute("select setval('jobsdb.task_order', 100000)")
    add(stage, names, 3)
    mover, planner = stage.session("none"), stage.session()
    worker = agent(stage)
    mover.begin()
    mover.run("select jobsdb.move_mark(%(job)s, 'research', true)", names)
    step = planner.start(
        "insert into public.job_tasks (job_id, step, kind, depends_on, priority)"
        " values (%(job)s, 7, 'research', '{}', 3) returning id",
        names,
    )
    assert step.ends()
    ((urgent,),) = step.rows()
    assert mover.end() == "ok"
    found = [worker.run(CLAIMS["fast"])[0][0] for _ in range(4)]
    assert urgent in found
    assert worker.run(CLAIMS["fast"]) == []
