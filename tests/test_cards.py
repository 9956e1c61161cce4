"""What a person reviews: every move of a card, every link, and who may approve.

The tables here are written from the contract, not read from jobsdb.transitions.
"""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

import world
from helpers import as_service, as_tenant, refused
from world import FINISHED, MODES, UNKNOWN, UNKNOWN_TASK, A, B, one, row

MOVES = {
    "in_review": {"approved", "rejected"},  # and done when the job is not in review mode
    "approved": {"in_review", "rejected", "done"},
    "rejected": {"in_review"},
    "done": set(),
}
STATES = ("in_review", "approved", "rejected", "done", "todo", "Approved")
A_PERSON_AS_SERVICE = UUID("cccccccc-0000-4000-8000-000000000003")

Persona = Callable[[psycopg.Connection], AbstractContextManager[object]]
PERSONAS: dict[str, Persona] = {
    "tenant": lambda conn: as_tenant(conn, A),
    "service": as_service,
    "service for a person": lambda conn: as_service(conn, sub=str(A_PERSON_AS_SERVICE)),
    "owner": lambda conn: conn.transaction(),
}
personas = pytest.mark.parametrize("name", PERSONAS)
modes = pytest.mark.parametrize("mode", MODES)


def counts_as(state: str) -> str:
    return state if state in MOVES else "in_review"


def reviewed(mode: str) -> bool:
    return mode != "off"


def needs_a_person(state: str, mode: str, name: str) -> bool:
    return state == "approved" and reviewed(mode) and name == "service"


def state_of(conn: psycopg.Connection, card: object) -> str:
    return one(conn, "select state from kanban_cards where id = %s", card)


def link_of(conn: psycopg.Connection, card: object) -> tuple[UUID | None, int | None]:
    found = row(conn, "select job_id, task_id from kanban_cards where id = %s", card)
    return found["job_id"], found["task_id"]


def reviews(conn: psycopg.Connection, card: object) -> list[dict[str, Any]]:
    return world.rows(
        conn, "select * from jobsdb.card_reviews where card_id = %s order by id", str(card)
    )


# ------------------------------------------------------------------------------------------ moves


@personas
@modes
@pytest.mark.parametrize("old", STATES)
def test_a_linked_card_moves_as_the_contract_says_and_not_otherwise(
    tx: psycopg.Connection, name: str, mode: str, old: str
) -> None:
    job = world.new_job(tx, **MODES[mode])
    for new in STATES:
        card = world.new_card(tx, job, old)
        before, after = counts_as(old), counts_as(new)
        legal = after == before or after in MOVES[before]
        if before == "in_review" and after == "done":
            legal = not reviewed(mode)
        with PERSONAS[name](tx):
            if not legal:
                told = f'card "{card}" cannot go from "{before}" to "{after}"'
                with refused(tx, "JB003", told):
                    world.move_card(tx, card, new)
            elif after != before and needs_a_person(new, mode, name):
                with refused(tx, "JB003", f'card "{card}" cannot be approved by nobody'):
                    world.move_card(tx, card, new)
                legal = False
            else:
                world.move_card(tx, card, new)
        assert state_of(tx, card) == (new if legal else old)
    world.check_counters(tx)


@personas
@modes
def test_a_card_that_is_not_linked_is_not_guarded(
    tx: psycopg.Connection, name: str, mode: str
) -> None:
    with PERSONAS[name](tx):
        for old, new in itertools.product(STATES, STATES):
            card = world.new_card(tx, None, old)
            world.move_card(tx, card, new)
            assert state_of(tx, card) == new
            assert reviews_seen_by_owner(tx, card) == []


def reviews_seen_by_owner(conn: psycopg.Connection, card: object) -> list[dict[str, Any]]:
    with conn.transaction(force_rollback=True):
        conn.execute("set local role none")
        return reviews(conn, card)


@personas
@modes
@pytest.mark.parametrize("state", STATES)
def test_a_new_card_waits_for_review_or_is_in_a_state_of_the_host(
    tx: psycopg.Connection, name: str, mode: str, state: str
) -> None:
    job = world.new_job(tx, **MODES[mode])
    added = (
        "insert into kanban_cards (org_id, job_id, type, state) values (%s, %s, 'x', %s)"
        " returning state"
    )
    with PERSONAS[name](tx):
        if counts_as(state) == "in_review" or (state == "approved" and mode == "off"):
            assert one(tx, added, A, job, state) == state
        else:
            with refused(tx, "JB003", f'a new card cannot be "{state}"'):
                tx.execute(added, [A, job, state])


@personas
@modes
@pytest.mark.parametrize("state", STATES)
def test_a_card_is_linked_in_any_state_but_linking_an_approved_one_is_an_approval(
    tx: psycopg.Connection, name: str, mode: str, state: str
) -> None:
    job = world.new_job(tx, **MODES[mode])
    task = world.new_task(tx, job)
    card = world.new_card(tx, None, state)
    change = "update kanban_cards set job_id = %s, task_id = %s where id = %s"
    with PERSONAS[name](tx):
        if needs_a_person(state, mode, name):
            with refused(tx, "JB003", f'card "{card}" cannot be approved by nobody'):
                tx.execute(change, [job, task, card])
        else:
            tx.execute(change, [job, task, card])
    if needs_a_person(state, mode, name):
        assert link_of(tx, card) == (None, None)
        return
    assert link_of(tx, card) == (job, task)
    assert state_of(tx, card) == state
    decisions = [review["decision"] for review in reviews(tx, card)]
    assert decisions == (["approved"] if state == "approved" else [])


@modes
def test_moving_an_approved_card_to_a_job_in_review_mode_is_an_approval_too(
    tx: psycopg.Connection, mode: str
) -> None:
    lax, job = world.new_job(tx, review_mode=False), world.new_job(tx, **MODES[mode])
    card = world.new_card(tx, lax, "approved")
    change = "update kanban_cards set job_id = %s where id = %s"
    if reviewed(mode):
        with as_service(tx), refused(tx, "JB003", "cannot be approved by nobody"):
            tx.execute(change, [job, card])
    with as_tenant(tx, A):
        tx.execute(change, [job, card])
    assert world.counters(tx, lax) == {}
    assert world.counters(tx, job) == {"cards_total": 1, "cards_approved": 1}
    assert reviews(tx, card)[-1]["reviewer"] == A
    assert reviews(tx, card)[-1]["job_id"] == job


# ---------------------------------------------------------------------------------- who approves


@personas
def test_every_decision_is_written_down_with_who_and_exactly_what(
    tx: psycopg.Connection, name: str
) -> None:
    job = world.new_job(tx, review_mode=name != "service")
    card = world.new_card(tx, job)
    person = {"tenant": A, "service for a person": A_PERSON_AS_SERVICE}.get(name)
    role = {"owner": one(tx, "select session_user")}.get(
        name, "authenticated" if name == "tenant" else "service_role"
    )
    with PERSONAS[name](tx):
        for state in ("approved", "in_review", "rejected", "in_review", "approved", "done"):
            world.move_card(tx, card, state)
    found = reviews(tx, card)
    assert [review["decision"] for review in found] == [
        "approved",
        "in_review",
        "rejected",
        "in_review",
        "approved",
    ]
    for review in found:
        assert (review["org_id"], review["job_id"]) == (A, job)
        assert (review["reviewer"], review["reviewer_role"]) == (person, role)
        assert len(review["content_hash"]) == 64
    assert len({review["content_hash"] for review in found}) == 1
    moves = tx.execute(
        "select old_status, new_status, actor from jobsdb.events"
        " where entity = 'card' and entity_id = %s order by id",
        [str(card)],
    ).fetchall()
    assert moves == [
        ("in_review", "approved", person),
        ("approved", "in_review", person),
        ("in_review", "rejected", person),
        ("rejected", "in_review", person),
        ("in_review", "approved", person),
        ("approved", "done", person),
    ]


def test_an_agent_with_the_service_key_cannot_approve_by_any_statement(
    tx: psycopg.Connection,
) -> None:
    job = world.new_job(tx)
    card = world.new_card(tx, job)
    free = world.new_card(tx, None, "approved")
    rejected = world.new_card(tx, job, "rejected")
    with as_service(tx):
        for attempt in (
            "update kanban_cards set state = 'approved' where id = %(card)s",
            "update kanban_cards set state = 'approved', content = '{}' where id = %(card)s",
            "update kanban_cards set state = 'approved', job_id = %(job)s where id = %(card)s",
            "update kanban_cards set job_id = %(job)s where id = %(free)s",
            "update kanban_cards set job_id = %(job)s, content = '{}' where id = %(free)s",
            "insert into kanban_cards (org_id, job_id, type, state)"
            " values (%(org)s, %(job)s, 'x', 'approved')",
            "update kanban_cards set state = 'done' where id = %(card)s",
            "update kanban_cards set state = 'approved' where id = %(rejected)s",
            "update kanban_cards set state = 'done' where id = %(rejected)s",
            "update jobs set params = '{\"review_mode\": false}' where id = %(job)s",
            "merge into kanban_cards c using jobs j on c.id = %(card)s and j.id = %(job)s"
            " when matched then update set state = 'approved'",
            "do $$ begin update public.kanban_cards set state = 'approved';"
            " exception when sqlstate 'JB003' then raise; end $$",
        ):
            values = {"card": card, "free": free, "job": job, "org": A, "rejected": rejected}
            with refused(tx, "JB003"):
                tx.execute(attempt, values if "%(" in attempt else None)
    assert reviews(tx, card) == []


def test_empty_claims_do_not_make_a_person_of_an_agent(tx: psycopg.Connection) -> None:
    card = world.new_card(tx, world.new_job(tx))
    for setting in ("request.jwt.claims", "request.jwt.claim.sub"):
        with as_service(tx), refused(tx, "JB003", "cannot be approved by nobody"):
            tx.execute("select set_config(%s, '', true)", [setting])
            world.move_card(tx, card, "approved")


def test_a_tenant_may_not_decide_for_an_organisation_it_is_not_of(tx: psycopg.Connection) -> None:
    card = world.new_card(tx, world.new_job(tx))
    with as_tenant(tx, B):
        change = "update kanban_cards set state = 'approved' where id = %s"
        assert tx.execute(change, [card]).rowcount == 0
    assert state_of(tx, card) == "in_review"


# --------------------------------------------------------------------------------- review mode


@pytest.mark.parametrize("before", [{}, {"review_mode": True}, {"other": 1}])
@personas
def test_review_is_switched_off_only_under_a_person(
    tx: psycopg.Connection, name: str, before: dict[str, object]
) -> None:
    job = world.new_job(tx, **before)
    change = "update jobs set params = %s where id = %s"
    off = Jsonb({**before, "review_mode": False})
    with PERSONAS[name](tx):
        if name == "service":
            with refused(tx, "JB003", "cannot be switched off by nobody"):
                tx.execute(change, [off, job])
        else:
            tx.execute(change, [off, job])


@personas
def test_review_is_switched_on_by_anybody_and_stays_off_for_anybody(
    tx: psycopg.Connection, name: str
) -> None:
    job = world.new_job(tx, review_mode=False)
    change = "update jobs set params = %s where id = %s"
    with PERSONAS[name](tx):
        tx.execute(change, [Jsonb({"review_mode": False, "batch_size": 5}), job])
        tx.execute(change, [Jsonb({"batch_size": 5}), job])
    card = world.new_card(tx, job)
    with refused(tx, "JB003", 'from "in_review" to "done"'):
        world.move_card(tx, card, "done")


def test_a_job_may_be_created_without_review_by_anybody(tx: psycopg.Connection) -> None:
    with as_service(tx):
        job = world.new_job(tx, status="pending", review_mode=False)
        card = world.new_card(tx, job, "approved")
        world.move_card(tx, card, "done")


def test_review_mode_is_a_plain_true_or_false(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    for value in (None, 0, "false", "off", [], {}):
        with refused(tx, "JB010", "cannot be used") as info:
            world.new_job(tx, review_mode=value)
        assert "review_mode is not true or false" in (info.value.diag.message_detail or "")
        with refused(tx, "JB010"):
            tx.execute(
                "update jobs set params = %s where id = %s", [Jsonb({"review_mode": value}), job]
            )


# ------------------------------------------------------------------------------ edits of content

EDITS = {
    "content": "content = jsonb_build_object('to', 'b@example.com')",
    "subject": "content = content || jsonb_build_object('subject', 'new')",
    "recipient": "content = jsonb_set(content, '{to}', '\"b@example.com\"')",
    "title": "title = 'new'",
    "no title": "title = null",
    "type": "type = 'create_deal'",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
@personas
def test_editing_an_approved_card_sends_it_back_to_review(
    tx: psycopg.Connection, name: str, edit: str
) -> None:
    job = world.new_job(tx)
    card = world.new_card(tx, job, "approved")
    with PERSONAS[name](tx):
        found = row(tx, f"update kanban_cards set {edit} where id = %s returning *", card)
    assert found["state"] == "in_review"
    assert world.counters(tx, job) == {"cards_total": 1, "cards_in_review": 1}
    assert [review["decision"] for review in reviews(tx, card)] == ["approved", "in_review"]
    hashes = [review["content_hash"] for review in reviews(tx, card)]
    assert hashes[0] != hashes[1]
    with refused(tx, "JB003", 'cannot go from "in_review" to "done"'):
        world.move_card(tx, card, "done")


def test_writing_the_same_content_again_keeps_the_approval(tx: psycopg.Connection) -> None:
    card = world.new_card(tx, world.new_job(tx), "approved")
    with as_service(tx):
        tx.execute(
            "update kanban_cards set content = content || '{}', title = title, state = state"
        )
    assert state_of(tx, card) == "approved"
    assert len(reviews(tx, card)) == 1


def test_an_approval_with_an_edit_approves_the_new_content(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    card, same = world.new_card(tx, job), world.new_card(tx, job, subject="edited")
    with as_tenant(tx, A):
        tx.execute(
            "update kanban_cards set state = 'approved',"
            " content = content || jsonb_build_object('subject', 'edited') where id = %s",
            [card],
        )
        world.move_card(tx, same, "approved")
    assert state_of(tx, card) == "approved"
    (review,) = reviews(tx, card)
    assert (review["decision"], review["reviewer"]) == ("approved", A)
    assert review["content_hash"] == reviews(tx, same)[0]["content_hash"]
    with as_service(tx):
        world.move_card(tx, card, "done")


@modes
def test_what_is_executed_is_what_was_approved(tx: psycopg.Connection, mode: str) -> None:
    """An edit in the same statement as the execution would send what nobody has seen."""
    card = world.new_card(tx, world.new_job(tx, **MODES[mode]), "approved")
    attempt = "update kanban_cards set state = 'done', content = '{\"to\": \"x\"}' where id = %s"
    with as_service(tx):
        if reviewed(mode):
            with refused(tx, "JB003", 'cannot go from "approved" to "done"'):
                tx.execute(attempt, [card])
        else:
            tx.execute(attempt, [card])


def test_a_card_in_review_is_edited_freely(tx: psycopg.Connection) -> None:
    card = world.new_card(tx, world.new_job(tx))
    with as_service(tx):
        for edit in EDITS.values():
            tx.execute(f"update kanban_cards set {edit} where id = %s", [card])
    assert state_of(tx, card) == "in_review"
    assert reviews(tx, card) == []


# ------------------------------------------------------------------------------------------ links


def test_a_card_with_a_task_alone_gets_the_job_of_that_task(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    task = world.new_task(tx, job)
    with as_tenant(tx, A):
        card = one(
            tx,
            "insert into kanban_cards (task_id, type) values (%s, 'send_email') returning id",
            task,
        )
        linked = world.new_card(tx, None)
        tx.execute("update kanban_cards set task_id = %s where id = %s", [task, linked])
    assert link_of(tx, card) == link_of(tx, linked) == (job, task)
    assert world.counters(tx, job)["cards_total"] == 2


@personas
def test_the_task_of_a_card_belongs_to_its_job(tx: psycopg.Connection, name: str) -> None:
    job, other = world.new_job(tx), world.new_job(tx)
    theirs = world.new_task(tx, other)
    linked, free = world.new_card(tx, job), world.new_card(tx, None)
    attempts = {
        "insert into kanban_cards (org_id, job_id, task_id, type) values (%(org)s, %(job)s,"
        " %(task)s, 'x')": None,
        "update kanban_cards set task_id = %(task)s where id = %(card)s": linked,
        "update kanban_cards set job_id = %(job)s, task_id = %(task)s where id = %(card)s": free,
    }
    with PERSONAS[name](tx):
        for attempt, card in attempts.items():
            for task in (theirs, UNKNOWN_TASK):
                values = {"org": A, "job": job, "task": task, "card": card}
                with refused(tx, "JB020", f'task "{task}" was not found or is not yours'):
                    tx.execute(attempt, values)


def test_moving_a_card_to_another_job_leaves_its_old_task_behind_only_if_told(
    tx: psycopg.Connection,
) -> None:
    job, other = world.new_job(tx), world.new_job(tx)
    card = world.new_card(tx, job, task=world.new_task(tx, job))
    with as_tenant(tx, A):
        with refused(tx, "JB020", "was not found or is not yours"):
            tx.execute("update kanban_cards set job_id = %s where id = %s", [other, card])
        tx.execute(
            "update kanban_cards set job_id = %s, task_id = null where id = %s", [other, card]
        )
    assert link_of(tx, card) == (other, None)
    assert world.counters(tx, job) == {"tasks_total": 1}
    assert world.counters(tx, other) == {"cards_total": 1, "cards_in_review": 1}


@pytest.mark.parametrize("state", STATES)
@personas
def test_unlinking_clears_the_task_and_is_free_in_every_state(
    tx: psycopg.Connection, name: str, state: str
) -> None:
    job = world.new_job(tx)
    card = world.new_card(tx, job, state, task=world.new_task(tx, job))
    with PERSONAS[name](tx):
        tx.execute("update kanban_cards set job_id = null where id = %s", [card])
    assert link_of(tx, card) == (None, None)
    assert world.counters(tx, job) == {"tasks_total": 1}


@personas
def test_links_to_jobs_of_another_organisation_are_refused_to_everybody(
    tx: psycopg.Connection, name: str
) -> None:
    foreign = world.new_job(tx, B)
    task = world.new_task(tx, foreign)
    card = world.new_card(tx, None)
    run = one(tx, "insert into agent_runs (org_id) values (%s) returning id", A)
    with PERSONAS[name](tx):
        for target in (foreign, UNKNOWN):
            told = f'job "{target}" was not found or is not yours'
            with refused(tx, "JB020", told):
                world.new_card(tx, target)
            with refused(tx, "JB020", told):
                tx.execute("update kanban_cards set job_id = %s where id = %s", [target, card])
            with refused(tx, "JB020", told):
                tx.execute("update agent_runs set job_id = %s where id = %s", [target, run])
        with refused(tx, "JB020", f'task "{task}" was not found or is not yours'):
            tx.execute("update kanban_cards set task_id = %s where id = %s", [task, card])


@pytest.mark.parametrize("state", STATES)
def test_counters_follow_cards_that_are_made_moved_and_deleted(
    tx: psycopg.Connection, state: str
) -> None:
    job, other = world.new_job(tx), world.new_job(tx)
    name = f"cards_{state}" if state in MOVES else "cards_other"
    cards = [world.new_card(tx, job, state) for _ in range(3)]
    assert world.counters(tx, job) == {"cards_total": 3, name: 3}
    with as_tenant(tx, A):
        tx.execute("update kanban_cards set job_id = %s where id = %s", [other, cards[0]])
        progress = row(tx, "select * from get_job_progress(%s)", job)
        assert (progress["cards_total"], progress[name]) == (2, 2)
    with as_service(tx):
        tx.execute("delete from kanban_cards where id = %s", [cards[1]])
    assert world.counters(tx, job) == {"cards_total": 1, name: 1}
    assert world.counters(tx, other) == {"cards_total": 1, name: 1}


def test_one_statement_that_makes_moves_and_deletes_cards_is_counted_right(
    tx: psycopg.Connection,
) -> None:
    job, other = world.new_job(tx), world.new_job(tx)
    cards = [world.new_card(tx, job, state) for state in STATES]
    with as_service(tx, sub=str(A)):
        tx.execute(
            "merge into kanban_cards c using (select id, row_number() over () as n"
            " from (select id from kanban_cards where job_id = %(job)s"
            " union all select null from generate_series(1, 3)) q) s on c.id = s.id"
            " when matched and c.state = 'todo' then delete"
            " when matched and c.state = 'in_review' then update set state = 'approved'"
            " when matched and c.state = 'rejected' then update set job_id = %(other)s"
            " when not matched then insert (org_id, job_id, type)"
            " values (%(org)s, %(other)s, 'x')",
            {"job": job, "other": other, "org": A},
        )
        world.rows(
            tx,
            "with gone as (delete from kanban_cards where id = %s returning job_id),"
            " moved as (update kanban_cards set job_id = %s where id = %s returning job_id),"
            " made as (insert into kanban_cards (org_id, job_id, type)"
            " select %s, job_id, 'x' from gone returning job_id)"
            " select * from moved",
            cards[3],
            other,
            cards[1],
            A,
        )
    world.check_counters(tx)


def test_a_task_that_is_deleted_leaves_its_cards_linked_to_the_job(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    cards = {
        state: world.new_card(tx, job, state, task=world.new_task(tx, job))
        for state in ("in_review", "approved", "rejected", "done", "todo")
    }
    with as_service(tx):
        tx.execute("delete from job_tasks where job_id = %s", [job])
    for state, card in cards.items():
        assert link_of(tx, card) == (job, None)
        assert state_of(tx, card) == state
    assert len(reviews(tx, cards["approved"])) == 1, "nothing was approved anew"


# --------------------------------------------------------------------------- cards of finished jobs


def test_a_finished_job_takes_no_card_that_would_wait_or_go_out(tx: psycopg.Connection) -> None:
    for status, state in itertools.product(FINISHED, STATES):
        job = world.new_job(tx, A, status)
        card = world.new_card(tx, None, state)
        change = "update kanban_cards set job_id = %s where id = %s"
        if counts_as(state) in ("in_review", "approved"):
            with refused(tx, "JB040", "because its job is finished"):
                world.new_card(tx, job, "todo")
            with as_tenant(tx, A), refused(tx, "JB040", f'card "{card}" cannot become'):
                tx.execute(change, [job, card])
        else:
            tx.execute(change, [job, card])


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@modes
def test_in_a_finished_job_no_card_is_approved_or_revived_but_old_ones_may_end(
    tx: psycopg.Connection, status: str, mode: str
) -> None:
    for old, new in itertools.product(STATES, STATES):
        before, after = counts_as(old), counts_as(new)
        legal = after in MOVES[before] or (
            (before, after) == ("in_review", "done") and not reviewed(mode)
        )
        if before == after or not legal:
            continue
        job = world.new_job(tx, **MODES[mode])
        card = world.new_card(tx, job, old)
        tx.execute("update jobs set status = %s where id = %s", [status, job])
        with as_tenant(tx, A):
            if after == "approved" or before == "rejected":
                with refused(tx, "JB040", f'card "{card}" cannot become "{after}"'):
                    world.move_card(tx, card, new)
            else:
                world.move_card(tx, card, new)
                assert state_of(tx, card) == new


def test_in_a_succeeded_job_every_card_stays_decided(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    cards = {state: world.new_card(tx, job, state) for state in ("rejected", "done")}
    tx.execute("update jobs set status = 'succeeded' where id = %s", [job])
    for state, card in cards.items():
        for new in STATES:
            if new != state:
                with (
                    as_tenant(tx, A),
                    refused(tx, "JB040" if counts_as(new) in MOVES[state] else "JB003"),
                ):
                    world.move_card(tx, card, new)


# ---------------------------------------------------------------------------------- the card itself


def test_get_job_cards_lists_the_cards_of_a_job_with_all_their_columns(
    tx: psycopg.Connection,
) -> None:
    job = world.new_job(tx)
    made = {world.new_card(tx, job, state) for state in STATES}
    world.new_card(tx, None)
    with as_tenant(tx, A):
        found = world.rows(tx, "select * from get_job_cards(job_id => %s)", job)
        direct = world.rows(tx, "select * from kanban_cards where job_id = %s order by id", job)
    assert {card["id"] for card in found} == made
    assert found == direct


def test_a_change_of_a_card_of_ours_is_stamped(module_db: psycopg.Connection) -> None:
    """Tenants may not write updated_at, so somebody must."""
    job = world.new_job(module_db)
    for target in (job, None):
        card = world.new_card(module_db, target)
        with as_tenant(module_db, A):
            module_db.execute("update kanban_cards set title = 'new' where id = %s", [card])
        assert one(
            module_db, "select updated_at > created_at from kanban_cards where id = %s", card
        )


def test_a_card_of_another_organisation_cannot_be_taken_over_by_a_changed_org(
    tx: psycopg.Connection,
) -> None:
    job = world.new_job(tx)
    card = world.new_card(tx, job)
    with refused(tx, "23503"):
        tx.execute("update kanban_cards set org_id = %s where id = %s", [B, card])
    with refused(tx, "23502"):
        tx.execute("update kanban_cards set org_id = null where id = %s", [card])


# ------------------------------------------------------------------------------------------- runs


@personas
def test_a_run_is_linked_to_a_job_of_its_organisation(tx: psycopg.Connection, name: str) -> None:
    job = world.new_job(tx)
    added = "insert into agent_runs (org_id, job_id, status) values (%s, %s, 'running') returning *"
    with PERSONAS[name](tx):
        run = row(tx, added, A, job)
        assert run["job_id"] == job
        change = "update agent_runs set status = 'done', job_id = null where id = %s returning *"
        assert row(tx, change, run["id"])["job_id"] is None


def test_a_run_may_be_linked_to_a_finished_job(tx: psycopg.Connection) -> None:
    for status in FINISHED:
        job = world.new_job(tx, A, status)
        with as_service(tx):
            tx.execute("insert into agent_runs (org_id, job_id) values (%s, %s)", [A, job])
