"""Two sessions at once, stepped: each pair of moves ends as if one had come after the other."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from stepping import Session, Stage, open_stage

# What people and agents send (as the tenant), and operators (as the service role).
MOVE = "select (public.transition_job_status(%(job)s, '{}')).status"
TASK = "update public.job_tasks set status = '{}' where id = %({})s"
CARD = "update public.kanban_cards set state = '{}' where id = %(card_{})s"
ADD = "insert into public.job_tasks (job_id, step, kind, depends_on) values (%(job)s, {})"
LINK = "update public.kanban_cards set job_id = %({})s, task_id = null where id = %(card_{})s"
JOB_MOVES = {
    "start": MOVE.format("running"),
    "succeed": MOVE.format("succeeded"),
    "fail": MOVE.format("failed"),
    "cancel": "select (public.cancel_job(%(job)s)).status",
    "cancel by update": "update public.jobs set status = 'cancelled' where id = %(job)s",
    "pause": "select (public.pause_job(%(job)s)).status",
    "resume": "select (public.resume_job(%(job)s)).status",
    "rename": "update public.jobs set name = 'renamed' where id = %(job)s",
}
CHANGES = {
    "complete": TASK.format("done", "running"),
    "complete unclaimed": TASK.format("done", "pending"),
    "complete all": "update public.job_tasks set status = 'done'"
    " where job_id = %(job)s and status in ('pending', 'running')",
    "claim": TASK.format("running", "pending") + " and status = 'pending'",
    "release": TASK.format("pending", "running") + " and status = 'running'",
    "error": TASK.format("error", "running"),
    "retry": TASK.format("pending", "error") + " and status = 'error'",
    "skip": TASK.format("skipped", "error"),
    "add": ADD.format("8, 'research', '{}'"),
    "add after all": ADD.format("7, 'research', null"),
    "add after one": ADD.format("9, 'research', '{2}'"),
    "add after error": ADD.format("10, 'research', '{4}'"),
    "approve": CARD.format("approved", "shown"),
    "reject": CARD.format("rejected", "shown"),
    "show again": CARD.format("in_review", "rejected"),
    "execute": CARD.format("done", "approved"),
    "show": "insert into public.kanban_cards (org_id, job_id, task_id, type, title)"
    " values (%(org)s, %(job)s, %(running)s, 'send_email', 'new')",
    "link": LINK.format("job", "free"),
    "link approved": LINK.format("job", "free_approved"),
    "move away": LINK.format("other", "shown"),
    "unlink": "update public.kanban_cards set job_id = null where id = %(card_shown)s",
}
OPERATIONS = {
    "delete task": "delete from public.job_tasks where id = %(pending)s",
    "delete card": "delete from public.kanban_cards where id = %(card_shown)s",
    "delete job": "delete from public.jobs where id = %(job)s",
    "refresh": "select public.refresh_job_metrics() is not null",
    "finish closed": "select jobsdb.finish_closed_jobs()",
}
STATEMENTS = JOB_MOVES | CHANGES | OPERATIONS

# Everything of one job that a race could leave different, without ids and times.
STATE = """
select
  j.status, j.paused_at is not null, j.name,
  j.tasks_total, j.tasks_done, j.tasks_error, j.tasks_skipped,
  j.cards_total, j.cards_in_review, j.cards_approved, j.cards_rejected, j.cards_done,
  (
    select array_agg(
      concat_ws(' ', t.step, t.status, t.status = 'pending' and t.pos is not null) order by t.step
    )
    from public.job_tasks as t where t.job_id = j.id
  ),
  (
    select array_agg(concat_ws(' ', c.title, c.state, c.job_id = j.id) order by c.title)
    from public.kanban_cards as c where c.org_id = j.org_id
  )
from public.jobs as j where j.id = %(job)s
"""
HOLD = "select from public.{} where id = %({})s for no key update"
PROGRESS = "select status, tasks_total, tasks_done, tasks_error, tasks_skipped"
CLAIMABLE = "select pos is not null from public.job_tasks where id = %({})s"


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


class Pairs:
    """Pairs of statements, sent at once and one after the other."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sessions = {
            (who, role): stage.session(role)
            for who in "ab"
            for role in ("authenticated", "service_role")
        }
        self.known: dict[tuple[str, ...], tuple[list[str], Any]] = {}

    def session(self, who: str, name: str) -> Session:
        role = "service_role" if name in OPERATIONS else "authenticated"
        return self.sessions[who, role]

    def state(self, names: dict[str, Any]) -> Any:
        """Return how a job has come to rest, and forget it."""
        self.stage.rest()
        state = self.stage.watch.execute(STATE, names).fetchone()
        self.stage.clear()
        return state

    def in_turn(self, world: str, *order: str) -> tuple[list[str], Any]:
        """Return the outcomes of statements sent one after the other, and what they leave."""
        if (world, *order) not in self.known:
            names = self.stage.job(world)
            outcomes = [self.session("a", n).attempt(STATEMENTS[n], names) for n in order]
            self.known[world, *order] = outcomes, self.state(names)
        return self.known[world, *order]

    def at_once(self, world: str, first: str, second: str, how: str) -> tuple[tuple[str, str], Any]:
        """Return the outcomes of two statements sent at once, and what they leave.

        ``how`` has the isolation level of each and what becomes of the first's transaction while
        the second's statement is under way; "earlier" commits it before that, but after the
        second's snapshot.
        """
        level, other_level, end = how.split(", ")
        names = self.stage.job(world)
        a, b = self.session("a", first), self.session("b", second)
        if other_level != "read committed":
            b.begin(other_level)
        a.begin(level)
        ends = [a.attempt(STATEMENTS[first], names)]
        if end == "earlier":
            ends.append(a.end())
        step = b.start(STATEMENTS[second], names)
        step.waits()
        self.stage.look()
        if end != "earlier":
            ends.append(a.end(end))
        others = [step.outcome()]
        self.stage.look()
        if other_level != "read committed":
            others.append(b.end("commit" if others == ["ok"] else "rollback"))
        outcomes = tuple(next((o for o in each if o != "ok"), "ok") for each in (ends, others))
        return outcomes, self.state(names)

    def check(self, world: str, first: str, second: str, how: str) -> None:
        """Find the end of two statements at once among those of the two in turn.

        A job deleted meanwhile may be missed by a foreign key before the guard sees it.
        """
        (a, b), state = self.at_once(world, first, second, how)
        if first == "delete job" and b == "23503":
            b = "JB020"
        again = ("40001", "JB030")  # what an old snapshot gets, instead of anything wrong
        runs = []
        if how.endswith("rollback"):
            (alone,), left = self.in_turn(world, second)
            runs.append((a, alone, left))
        else:
            (one, two), left = self.in_turn(world, first, second)
            runs.append((one, two, left))
            (two, one), left = self.in_turn(world, second, first)
            runs.append((one, two, left))
        if a in again:
            (alone,), left = self.in_turn(world, second)
            runs.append((a, alone, left))
        if b in again:
            (alone,), left = self.in_turn(world, first)
            runs.append((alone, b, left))
        if a in again and b in again:
            runs.append((a, b, self.in_turn(world)[1]))
        assert (a, b, state) in runs, "\n".join(
            [f"{world} job, {how}: {first!r} and {second!r} gave", str((a, b, state)), "not any of"]
            + [str(run) for run in runs]
        )


def test_of_two_moves_of_a_job_one_wins(stage: Stage) -> None:
    pairs = Pairs(stage)
    moves = ("start", "succeed", "fail", "cancel", "cancel by update")
    for world, first, second in itertools.product(("pending", "closable"), moves, moves):
        pairs.check(world, first, second, "read committed, read committed, commit")
    assert stage.snapshots > 400


def sample(seed: int, count: int, ways: list[str]) -> list[tuple[str, str, str, str]]:
    every = itertools.product(("pending", "running", "closable"), STATEMENTS, STATEMENTS, ways)
    return random.Random(seed).sample(list(every), count)


def test_any_two_statements_end_as_if_sent_in_turn(stage: Stage, scale: float, seed: int) -> None:
    pairs = Pairs(stage)
    ways = [f"read committed, read committed, {end}" for end in ("commit", "rollback")]
    for case in sample(seed, int(1200 * scale), ways):
        pairs.check(*case)


def test_old_snapshots_lose_nothing(stage: Stage, scale: float, seed: int) -> None:
    pairs = Pairs(stage)
    levels = [
        "read committed, repeatable read",
        "repeatable read, read committed",
        "repeatable read, repeatable read",
        "serializable, serializable",
    ]
    ways = [f"{level}, {end}" for level in levels for end in ("commit", "earlier")]
    for case in sample(seed, int(800 * scale), ways):
        pairs.check(*case)


def test_a_completion_in_flight_counts_as_done(stage: Stage) -> None:
    names = stage.job()
    agent, person, operator = stage.session(), stage.session(), stage.session("service_role")
    agent.begin("repeatable read")
    agent.run(CHANGES["complete"], names)
    cancel = person.start(JOB_MOVES["cancel"], names)
    assert cancel.ends()
    assert cancel.rows() == [("cancelled",)]
    stage.look()
    progress = PROGRESS + ", pending, running from public.get_job_progress(%(job)s)"
    assert person.run(progress, names) == [("cancelled", 6, 1, 1, 4, 0, 0)]
    assert operator.run(OPERATIONS["finish closed"]) == [(0,)]
    assert agent.end() == "ok"
    assert person.run(progress, names) == [("cancelled", 6, 2, 1, 3, 0, 0)]
    stage.rest()


def test_a_completion_in_flight_that_is_taken_back_is_skipped(stage: Stage) -> None:
    names = stage.job()
    agent, person, operator = stage.session(), stage.session(), stage.session("service_role")
    agent.begin("repeatable read")
    agent.run(CHANGES["complete"], names)
    person.run(JOB_MOVES["cancel"], names)
    assert agent.end("rollback") == "ok"
    assert agent.attempt(CHANGES["complete"], names) == "JB040"
    assert operator.run(OPERATIONS["finish closed"]) == [(1,)]
    assert agent.attempt(CHANGES["complete"], names) == "JB002"
    stage.rest()


def test_a_cancel_of_a_large_job_leaves_no_live_task(stage: Stage) -> None:
    names = stage.job()
    agent, other, person = stage.session(), stage.session(), stage.session()
    more = ADD.split(" values")[0] + " select %(job)s, s, 'research', '{}'"
    agent.run(more + " from generate_series(11, 1110) as s", names)
    person.begin()
    person.run(JOB_MOVES["cancel"], names)
    left = person.run(
        "select id from public.job_tasks where job_id = %(job)s and status = 'pending'"
        " order by id desc limit 4",
        names,
    )
    names |= {f"left{n}": task for n, (task,) in enumerate(left)}
    complete = agent.start(TASK.format("done", "left0"), names)
    assert complete.ends(), "what ends work waits for nobody"
    claim = other.start(TASK.format("running", "left1"), names)
    assert claim.waits(), "what brings work to life waits for whoever is closing the job"
    assert person.end() == "ok"
    assert (complete.outcome(), claim.outcome()) == ("ok", "JB040")
    assert agent.attempt(TASK.format("done", "left2"), names) == "JB040"
    assert agent.attempt(TASK.format("skipped", "left2"), names) == "ok"
    assert person.run(PROGRESS + " from public.get_job_progress(%(job)s)", names) == [
        ("cancelled", 1106, 2, 1, 1103)
    ]
    stage.rest()


@pytest.mark.parametrize("last", ["a", "b"])
def test_two_ends_of_a_fan_in_release_their_successor(stage: Stage, last: str) -> None:
    names = stage.job()
    a, b = stage.session(), stage.session()
    a.begin()
    b.begin()
    a.run(CHANGES["complete"], names)
    b.run(CHANGES["complete unclaimed"], names)
    for session in (b, a) if last == "a" else (a, b):
        assert session.end() == "ok"
    stage.rest()
    assert a.run(CLAIMABLE.format("after"), names) == [(True,)]


def test_an_end_taken_back_releases_nobody(stage: Stage) -> None:
    names = stage.job()
    a, b = stage.session(), stage.session()
    a.begin()
    a.run(CHANGES["complete unclaimed"], names)
    b.run(ADD.format("9, 'research', '{3}'"), names)
    a.end("rollback")
    stage.rest()
    claimable = "select step, pos is not null from public.job_tasks where step in (6, 9) order by 1"
    assert a.run(claimable) == [(6, False), (9, False)]
    a.run(CHANGES["complete unclaimed"], names)
    assert a.run(claimable) == [(6, True), (9, True)]


@pytest.mark.parametrize("depends_on", ["null", "'{2}'", "'{1,2}'"])
@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("first", ["plan", "complete"])
def test_a_step_planned_while_the_one_before_it_ends_becomes_ready(
    stage: Stage, first: str, order: str, depends_on: str
) -> None:
    names = stage.job("closable")
    a, b = stage.session(), stage.session()
    a.run(TASK.format("skipped", "error"), names)
    a.run(ADD.format("7, 'research', '{}'"), names)
    names["running"] = a.run("select id from public.job_tasks where step = 7")[0][0]
    plan = ADD.format(f"8, 'research', {depends_on.replace('2', '7')}")
    statements = {"plan": plan, "complete": CHANGES["complete"]}
    a.begin()
    b.begin()
    a.run(statements[first], names)
    other = b.start(statements["complete" if first == "plan" else "plan"], names)
    assert other.ends(), "neither waits for the other"
    assert other.outcome() == "ok"
    stage.look()
    for who in order:
        end = (a if who == "a" else b).start("commit")
        assert end.ends()
        assert end.outcome() == "ok"
        stage.look()
    stage.rest()
    assert a.run("select pos is not null from public.job_tasks where step = 8") == [(True,)]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize("meanwhile", ["add after one", "complete unclaimed"])
@pytest.mark.parametrize("end", ["complete", "delete running"])
def test_an_old_snapshot_releases_whom_it_cannot_see(
    stage: Stage, end: str, meanwhile: str, isolation: str
) -> None:
    names = stage.job()
    old, new = stage.session("service_role"), stage.session()
    delete = "delete from public.job_tasks where id = %(running)s"
    old.begin(isolation)
    new.run(STATEMENTS[meanwhile], names)
    old.run(delete if end == "delete running" else STATEMENTS[end], names)
    assert old.end() == "ok"
    stage.rest()
    waits = "select step from public.job_tasks where job_id = %(job)s and waits_on = 2"
    assert new.run(waits, names) == []


def test_planners_who_watch_each_others_steps_do_not_wait(stage: Stage) -> None:
    names = stage.job()
    a, b = stage.session(), stage.session()
    a.begin()
    b.begin()
    a.run(ADD.format("8, 'research', '{3}'"), names)
    b.run(ADD.format("9, 'research', '{2}'"), names)
    ends = [a.start(CHANGES["complete"], names), b.start(CHANGES["complete unclaimed"], names)]
    assert [end.outcome() for end in ends] == ["ok", "ok"]
    assert [a.end(), b.end()] == ["ok", "ok"]
    stage.rest()
    assert a.run("select pos is not null from public.job_tasks where step in (8, 9)") == [
        (True,),
        (True,),
    ]


def test_a_commit_does_not_wait_for_whoever_holds_the_successor(stage: Stage) -> None:
    names = stage.job()
    person, agent = stage.session(), stage.session()
    person.begin()
    person.run("update public.job_tasks set priority = 9 where id = %(last)s", names)
    assert agent.attempt(CHANGES["complete unclaimed"], names) == "ok"
    assert person.end() == "ok"
    stage.rest()
    assert agent.run(CLAIMABLE.format("last"), names) == [(True,)]


def test_counters_wait_for_nobody(stage: Stage) -> None:
    """A tenant who holds the job's row open stops no change of its tasks and cards."""
    holder = stage.session()
    agent = {role: stage.session(role) for role in ("authenticated", "service_role")}
    for name in (n for n in STATEMENTS if n in CHANGES or n in ("delete task", "delete card")):
        names = stage.job()
        holder.begin()
        holder.run(HOLD.format("jobs", "job"), names)
        role = "service_role" if name in OPERATIONS else "authenticated"
        change = agent[role].start(STATEMENTS[name], names)
        assert change.ends(), f"{name} waits for the holder of the job"
        assert change.outcome() == "ok", name
        stage.look()
        holder.end()
        agent["authenticated"].run(ADD.format("20, 'research', '{}'"), names)
        deltas = "select count(*) from jobsdb.job_deltas"
        assert stage.watch.execute(deltas).fetchone() == (0,), f"not folded after {name}"
        stage.rest()


def test_a_bulk_change_stops_no_single_one(stage: Stage) -> None:
    names = stage.job()
    bulk, agent = stage.session(), stage.session()
    more = ADD.split(" values")[0] + " select %(job)s, s, 'research', '{}'"
    bulk.run(more + " from generate_series(11, 510) as s", names)
    bulk.begin()
    bulk.run("update public.job_tasks set status = 'done' where step > 10")
    for name in ("complete", "retry", "add", "approve", "show"):
        change = agent.start(STATEMENTS[name], names)
        assert change.ends(), f"{name} waits for the bulk change"
        assert change.outcome() == "ok"
        stage.look()
    assert bulk.end() == "ok"
    assert agent.run(PROGRESS + " from public.get_job_progress(%(job)s)", names) == [
        ("running", 507, 502, 0, 0)
    ]
    stage.rest()


def test_transactions_over_the_same_jobs_crosswise_do_not_deadlock(stage: Stage) -> None:
    one, two = stage.job(), stage.job()
    a, b = stage.session(), stage.session()
    a.begin()
    b.begin()
    a.run(CHANGES["complete"], one)
    b.run(CHANGES["complete"], two)
    steps = [a.start(CHANGES["complete unclaimed"], two), b.start(CHANGES["skip"], one)]
    assert [step.outcome() for step in steps] == ["ok", "ok"]
    steps = [a.start(CHANGES["show"], two), b.start(CHANGES["show"], one)]
    assert [step.outcome() for step in steps] == ["ok", "ok"]
    stage.look()
    ends = [a.start("commit"), b.start("commit")]
    assert [end.outcome() for end in ends] == ["ok", "ok"]
    stage.rest()


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
@pytest.mark.parametrize("before", [(), ("complete",), ("complete", "error")])
@pytest.mark.parametrize("inside", [("complete",), ("skip", "show"), ("complete all", "add")])
@pytest.mark.parametrize("after", [(), ("skip",), ("approve", "complete unclaimed", "skip")])
def test_what_a_savepoint_takes_back_is_not_counted(
    stage: Stage,
    isolation: str,
    before: tuple[str, ...],
    inside: tuple[str, ...],
    after: tuple[str, ...],
) -> None:
    names = stage.job()
    session = stage.session()
    session.begin(isolation)
    for name in before:
        session.attempt("savepoint one")
        if session.attempt(STATEMENTS[name], names) != "ok":
            session.run("rollback to one")
    session.run("savepoint two")
    for name in inside:
        session.run(STATEMENTS[name], names)
    session.run("rollback to two")
    for name in after:
        session.run(STATEMENTS[name], names)
    assert session.end() == "ok"
    stage.rest()


def test_constraints_set_immediate_in_the_middle_are_no_trouble(stage: Stage) -> None:
    names = stage.job()
    session = stage.session()
    session.begin()
    for name in ("complete", "skip", "complete unclaimed", "add after one"):
        session.run(STATEMENTS[name], names)
        session.run("set constraints all immediate")
    assert session.end() == "ok"
    stage.rest()


@pytest.mark.parametrize("how", ["timeout", "cancel", "terminate"])
def test_a_statement_cut_off_leaves_nothing(stage: Stage, how: str) -> None:
    names = stage.job()
    holder, victim = stage.session(), stage.session()
    holder.begin()
    holder.run(HOLD.format("job_tasks", "last"), names)
    if how == "timeout":
        victim.run("set statement_timeout = '500ms'")
    victim.begin()
    victim.run(CHANGES["skip"], names)
    step = victim.start(CHANGES["complete all"], names)
    assert step.waits()
    if how != "timeout":
        stop = f"select pg_{how}_backend(%s)"
        stage.watch.execute(stop, [victim.conn.info.backend_pid])
    assert step.outcome() == ("57P01" if how == "terminate" else "57014")
    if how != "terminate":
        victim.run("rollback")
    holder.end()
    stage.rest()
    assert holder.run(PROGRESS + " from public.get_job_progress(%(job)s)", names) == [
        ("running", 6, 1, 1, 0)
    ]


@pytest.mark.parametrize("name", ["complete", "retry", "add", "show", "link", "approve"])
def test_a_change_waiting_for_a_deletion_ends_with_it(stage: Stage, name: str) -> None:
    names = stage.job()
    operator, agent = stage.session("service_role"), stage.session()
    operator.begin()
    operator.run(OPERATIONS["delete job"], names)
    change = agent.start(STATEMENTS[name], names)
    assert change.waits() or name == "complete"
    assert operator.end() == "ok"
    assert change.outcome() in ("ok", "JB020", "23503")
    stage.rest()


# ------------------------------------------------------------------------- while metrics refresh


@pytest.fixture
def slow(stage: Stage) -> Session:
    """The owner, in a transaction that makes a refresh wait before its materialized view."""
    owner = stage.session("none")
    owner.begin()
    owner.run("comment on materialized view jobsdb.job_metrics_mv is 'busy'")
    return owner


REFRESH = OPERATIONS["refresh"]


def test_a_second_refresh_does_not_wait_for_the_first(stage: Stage, slow: Session) -> None:
    one, two = stage.session("service_role"), stage.session("service_role")
    first = one.start(REFRESH)
    assert first.waits()
    since = stage.watch.execute("select refreshed_at from jobsdb.metrics_refresh").fetchone()
    second = two.start("select public.refresh_job_metrics()")
    assert second.ends()
    assert second.rows() == [since]
    slow.end("rollback")
    assert first.outcome() == "ok"


@pytest.mark.parametrize("end", ["cancel", "fail", "succeed"])
def test_a_job_that_ends_during_a_refresh_is_in_the_metrics_once(stage: Stage, end: str) -> None:
    """It ends between the refresh's look at finished jobs and its look at open ones."""
    finished, names = stage.job(), stage.job("closable")
    owner, person = stage.session("none"), stage.session()
    person.run(JOB_MOVES["cancel"], finished)
    owner.begin()
    owner.run("lock table jobsdb.frozen_job_metrics in share mode")
    refresh = stage.session("service_role").start(REFRESH)
    assert refresh.waits()
    person.run(STATEMENTS[end], names)
    owner.end("rollback")
    assert refresh.outcome() == "ok"
    found = "select count(*) from public.job_metrics where job_id = any(array[%(job)s, %(other)s])"
    assert stage.watch.execute(found, names).fetchone() == (2,)
    stage.rest()


def test_nobody_waits_for_a_refresh(stage: Stage, slow: Session) -> None:
    """It has deltas to fold, a closed job to finish off and a missed step to look at again."""
    names, closed = stage.job(), stage.job()
    holder, agent, operator = stage.session(), stage.session(), stage.session("service_role")
    holder.begin("repeatable read")
    holder.run(CHANGES["error"], closed)
    agent.run(JOB_MOVES["cancel"], closed)
    assert holder.end("rollback") == "ok"
    holder.begin()
    holder.run(HOLD.format("jobs", "job"), names)
    holder.run(HOLD.format("job_tasks", "last"), names)
    agent.run(CHANGES["complete unclaimed"], names)
    holder.end()
    left = "select (select count(*) from jobsdb.job_deltas),"
    left += " (select count(*) from jobsdb.closed_jobs), (select count(*) from jobsdb.missed_steps)"
    assert all(stage.watch.execute(left).fetchone())
    refresh = operator.start(REFRESH)
    assert refresh.waits()
    for statement, ids in (
        (CHANGES["complete"], names),
        (TASK.format("skipped", "last"), names),
        (JOB_MOVES["pause"], names),
        (JOB_MOVES["cancel"], names),
        (TASK.format("skipped", "running"), closed),
    ):
        step = agent.start(statement, ids)
        assert step.ends(), f"waits for the refresh: {statement}"
        assert step.outcome() == "ok"
        stage.look()
    slow.end("rollback")
    assert refresh.outcome() == "ok"
    stage.rest()


@pytest.mark.parametrize("end", ["cancel", "succeed"])
def test_a_finished_job_can_be_deleted_during_a_refresh(stage: Stage, end: str) -> None:
    names = stage.job("closable")
    operator, other = stage.session("service_role"), stage.session("service_role")
    stage.session().run(STATEMENTS[end], names)
    operator.begin()
    operator.run("select from public.jobs where id = %(job)s for update", names)
    refresh = other.start(REFRESH)
    assert refresh.ends()
    assert refresh.outcome() == "ok"
    assert operator.attempt(OPERATIONS["delete job"], names) == "ok"
    assert operator.end() == "ok"
    stage.rest()


def test_a_refresh_does_not_wait_for_whoever_deletes_a_job_with_missed_steps(stage: Stage) -> None:
    names = stage.job()
    operator, agent = stage.session("service_role"), stage.session()
    operator.begin()
    operator.run(HOLD.format("job_tasks", "after"), names)
    agent.run(CHANGES["complete unclaimed"], names)
    operator.end()
    left = "select count(*) from jobsdb.missed_steps where job_id = %(job)s"
    assert stage.watch.execute(left, names).fetchone() != (0,)
    operator.begin()
    operator.run("select from public.jobs where id = %(job)s for update", names)
    refresh = stage.session("service_role").start(REFRESH)
    assert refresh.ends()
    assert refresh.outcome() == "ok"
    assert operator.attempt(OPERATIONS["delete job"], names) == "ok"
    assert operator.end() == "ok"
    stage.rest()
