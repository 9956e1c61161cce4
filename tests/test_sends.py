"""E-mails: from the approval of a card to the provider's answer, nothing lost and nothing twice.

The provider is one of Python, so that what it really sent is known apart from the database.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.types.json import Jsonb

import world
from helpers import SOAK, as_anon, as_service, as_tenant, refused
from stepping import Stage, open_stage
from test_campaigns import EVERY_ORG, add, campaign, person, plan
from world import UNKNOWN, A, B, as_nobody, column, move_card, one, outcome, row, rows

MEMBER = UUID("cccccccc-0000-4000-8000-000000000003")
MAIL = {"subject": "Hello {{contact_id}}", "body": "<b>Dear {{contact_id}}</b>"}
THREE: dict[str, Any] = {
    "cadence": {"day0": True, "day4": True, "day10": True},
    "templates": {"intro": MAIL, "followup1": MAIL, "followup2": MAIL},
}
HELD = ("leased", "dispatching", "unknown")
CLAIM = "select * from claim_sends('w', %s)"
EDIT = """update kanban_cards set content = content || '{"subject": "new", "body": "new too"}'"""
TAKEN_BACK = "the card was taken back"


@pytest.fixture
def tx(module_db: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection in a transaction that is rolled back; all counters must be true before."""
    with module_db.transaction(force_rollback=True):
        module_db.execute("select jobsdb.add_org_member(%s, %s)", [MEMBER, A])
        yield module_db
        world.check_counters(module_db)


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


def draft(conn: psycopg.Connection) -> None:
    """An agent drafts from the templates whatever is planned."""
    claimed = "select id, lease_token from claim_tasks('agent', 100, array['draft_email'])"
    with as_service(conn):
        while tasks := conn.execute(claimed).fetchall():
            for task in tasks:
                conn.execute("select draft_cards(%s, %s)", task)
                conn.execute("select complete_tasks(array[%s::bigint], %s)", task)


def drafted(
    conn: psycopg.Connection, *people: str | dict[str, Any], org: UUID = A, **changes: Any
) -> UUID:
    """A running job whose first e-mails are drafted."""
    add(conn, *(who if isinstance(who, dict) else person(who) for who in people), org=org)
    job = campaign(conn, org, "running", **{"templates": {"intro": MAIL}, **changes})
    draft(conn)
    return job


def cards(conn: psycopg.Connection, job: UUID) -> dict[str, Any]:
    """The last card of every contact of a job."""
    found = "select content ->> 'contact_id', id from kanban_cards where job_id = %s order by "
    return dict(conn.execute(found + "task_id, created_at", [job]).fetchall())


def approve(conn: psycopg.Connection, *approved: object, org: UUID = A) -> None:
    with as_tenant(conn, org):
        for card in approved:
            move_card(conn, card, "approved")


def queued(conn: psycopg.Connection, *people: Any, org: UUID = A, **changes: Any) -> UUID:
    """A running job whose first e-mails are approved."""
    job = drafted(conn, *people, org=org, **changes)
    approve(conn, *cards(conn, job).values(), org=org)
    return job


def claim(conn: psycopg.Connection, max_sends: int = 100) -> list[dict[str, Any]]:
    with as_service(conn):
        return rows(conn, CLAIM, max_sends)


def begin(conn: psycopg.Connection, send: dict[str, Any], repeats: bool = False) -> dict[str, Any]:
    call = "select * from begin_send(%s, %s, %s)"
    with as_service(conn):
        return row(conn, call, send["id"], send["lease_token"], repeats)


def settle(
    conn: psycopg.Connection, send: dict[str, Any], outcome: str | None = "sent", *more: object
) -> str:
    given = [send["id"], send["lease_token"], outcome, *more]
    with as_service(conn):
        return one(conn, f"select settle_send({', '.join(['%s'] * len(given))})", *given)


def deliver(conn: psycopg.Connection) -> int:
    """A worker sends whatever may go out."""
    found = claim(conn)
    for send in found:
        assert begin(conn, send)["verdict"] == "ok"
        assert settle(conn, send) == "ok"
    return len(found)


def end_leases(conn: psycopg.Connection) -> None:
    """All workers have died, and time has passed."""
    conn.execute(
        "update jobsdb.sends set lease_expires_at = clock_timestamp() - interval '1 s'"
        " where lease_expires_at is not null"
    )


def lose(conn: psycopg.Connection) -> None:
    end_leases(conn)
    conn.execute("select jobsdb.rescue_sends()")


def brought(conn: psycopg.Connection, state: str, **changes: Any) -> UUID:
    """A job with one contact, c1, whose e-mail is in a state."""
    job = queued(conn, "c1", **changes)
    if state != "queued":
        (held,) = claim(conn)
        if state != "leased":
            begin(conn, held)
        if state in ("sent", "failed"):
            settle(conn, held, state)
        if state == "unknown":
            lose(conn)
    assert send_of(conn, job)["state"] == state
    return job


def send_of(conn: psycopg.Connection, job: UUID, key: str = "c1") -> dict[str, Any]:
    """The last send of a contact of a job."""
    found = "select * from jobsdb.sends where job_id = %s and contact_key = %s order by id"
    return rows(conn, found, job, key)[-1]


def resolve(conn: psycopg.Connection, send: dict[str, Any], decision: str) -> None:
    with as_tenant(conn, A):
        conn.execute("select resolve_unknown(%s, %s)", [send["id"], decision])


def sends(conn: psycopg.Connection, job: UUID) -> int:
    return one(conn, "select count(*) from jobsdb.sends where job_id = %s", job)


def told(conn: psycopg.Connection, send: dict[str, Any]) -> tuple[str, str | None]:
    """State and reason of a send."""
    found = row(conn, "select state, reason from jobsdb.sends where id = %s", send["id"])
    return found["state"], found["reason"]


def contact(conn: psycopg.Connection, job: UUID, key: str = "c1") -> dict[str, Any]:
    found = (
        "select c.*, d.due_at as next_touch_at from jobsdb.job_contacts c"
        " left join jobsdb.due_contacts d using (job_id, contact_key)"
        " where job_id = %s and contact_key = %s"
    )
    return row(conn, found, job, key)


def sequence(conn: psycopg.Connection, job: UUID, key: str = "c1") -> tuple[Any, ...]:
    """State, reason and next touch of a contact."""
    found = contact(conn, job, key)
    return found["state"], found["reason"], found["next_touch"]


def state_of(conn: psycopg.Connection, card: object) -> str:
    return one(conn, "select state from kanban_cards where id = %s", card)


def status_of(conn: psycopg.Connection, job: UUID) -> str:
    return one(conn, "select status from jobs where id = %s", job)


def tick(conn: psycopg.Connection) -> dict[str, Any]:
    with as_service(conn):
        return one(conn, "select tick()")


def suppressed(conn: psycopg.Connection, address: str, org: UUID = A) -> bool:
    return one(conn, "select jobsdb.is_suppressed(%s, %s)", org, address)


def later(conn: psycopg.Connection, days: float) -> None:
    """Let days and a minute pass."""
    for table, names in {
        "job_contacts": ("anchor_at",),
        "due_contacts": ("due_at",),
        "sends": ("queued_at", "not_before", "dispatched_at", "settled_at"),
        "planned_jobs": ("next_at",),
    }.items():
        moved = ", ".join(f"{name} = {name} - %(by)s" for name in names)
        by = timedelta(days=days, minutes=1)
        conn.execute(f"update jobsdb.{table} set {moved}", {"by": by})


def own_card(conn: psycopg.Connection, job: UUID | None, **columns: Any) -> Any:
    """A card that an agent has written without a template."""
    content = columns.pop("content", {"to": " Ann@Elsewhere.example ", "subject": "S"})
    given = {"org_id": A, "job_id": job, "type": "send_email", "content": Jsonb(content), **columns}
    insert = f"insert into kanban_cards ({', '.join(given)})"
    values = ", ".join(["%s"] * len(given))
    with as_service(conn):
        return one(conn, f"{insert} values ({values}) returning id", *given.values())


# ---------------------------------------------------------------------------- cards and their send


def test_an_approved_e_mail_is_queued_with_the_bytes_that_were_approved(
    tx: psycopg.Connection,
) -> None:
    job = drafted(tx, person("c1", " C1@Example.COM "), mailbox="Sales@ours.example")
    assert sends(tx, job) == 0
    card = cards(tx, job)["c1"]
    approve(tx, card)
    send = send_of(tx, job)
    assert {name: send[name] for name in ("state", "touch", "card_id", "org_id", "attempt")} == {
        "state": "queued",
        "touch": "0",
        "card_id": str(card),
        "org_id": A,
        "attempt": 0,
    }
    assert (send["subject"], send["body"]) == ("Hello c1", "<b>Dear c1</b>")
    assert (send["recipient"], send["domain"]) == ("C1@Example.COM", "example.com")
    assert send["mailbox"] == "Sales@ours.example"
    assert send["content_hash"] == one(
        tx, "select content_hash from jobsdb.card_reviews where card_id = %s", str(card)
    )
    assert send["not_before"] == send["queued_at"] == one(tx, "select now()")
    assert len(send["idempotency_key"]) == 64


def test_a_card_outside_the_sequence_is_a_touch_of_its_own(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1")
    stranger = own_card(tx, job)
    known = own_card(tx, job, content={"to": "C1@EXAMPLE.com"})
    approve(tx, stranger, known)
    send = send_of(tx, job, "ann@elsewhere.example")
    assert (send["touch"], send["recipient"]) == (f"card:{stranger}", "Ann@Elsewhere.example")
    assert send_of(tx, job, "c1")["touch"] == f"card:{known}"
    assert deliver(tx) == 2
    assert state_of(tx, stranger) == state_of(tx, known) == "done"
    assert sequence(tx, job) == ("active", None, 0), "its own first e-mail is still to come"


def test_only_e_mails_with_an_address_are_queued(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1")
    approve(tx, own_card(tx, job, type="create_deal"))
    for content in ({}, {"to": None}, {"to": " "}, {"to": ""}):
        approve(tx, own_card(tx, job, content=content))
    assert sends(tx, job) == 0


def test_without_review_what_was_drafted_in_full_is_queued_at_once(tx: psycopg.Connection) -> None:
    template = {"subject": "S", "body": "Dear {{first_name}}"}
    people = [person("c1", first_name="Ann"), person("c2")]
    job = drafted(tx, *people, review_mode=False, templates={"intro": template})
    assert sends(tx, job) == 1
    assert send_of(tx, job)["body"] == "Dear Ann"


def test_a_second_card_for_the_same_touch_is_no_second_e_mail(tx: psycopg.Connection) -> None:
    for state in ("queued", *HELD, "sent"):
        job = brought(tx, state)
        task = one(tx, "select task_id from kanban_cards where job_id = %s", job)
        content = {"to": "c1@example.com", "subject": "another", "body": "another"}
        before = send_of(tx, job)
        approve(tx, own_card(tx, job, task_id=task, content=content))
        assert sends(tx, job) == 1
        assert send_of(tx, job) == before
        world.move_job(tx, job, "cancelled")


def approve_with(conn: psycopg.Connection, **content: str) -> None:
    """A person edits the only card, and approves it."""
    change = "update kanban_cards set state = 'approved', content = content || %s"
    with as_tenant(conn, A):
        conn.execute(change, [Jsonb(content)])


def test_an_approval_with_an_edit_queues_the_new_content(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1")
    approve_with(tx, subject="new", body="new body")
    send = send_of(tx, job)
    assert (send["subject"], send["body"], send["touch"]) == ("new", "new body", "0")
    assert sends(tx, job) == 1


def test_an_e_mail_with_a_corrected_address_stays_that_of_its_contact(
    tx: psycopg.Connection,
) -> None:
    job = drafted(tx, "c1", **THREE)
    approve_with(tx, to="new@other.example")
    send = row(tx, "select * from jobsdb.sends where job_id = %s", job)
    assert (send["recipient"], send["domain"]) == ("new@other.example", "other.example")
    assert deliver(tx) == 1
    assert (send["contact_key"], send["touch"]) == ("c1", "0")
    assert sequence(tx, job) == ("active", None, 1)


def test_editing_an_approved_card_takes_its_e_mail_back_until_it_is_approved_again(
    tx: psycopg.Connection,
) -> None:
    job = queued(tx, "c1")
    card, before = cards(tx, job)["c1"], send_of(tx, job)
    tx.execute(EDIT)
    assert state_of(tx, card) == "in_review"
    assert told(tx, before) == ("cancelled", TAKEN_BACK)
    assert claim(tx) == []
    approve(tx, card)
    after = send_of(tx, job)
    assert (after["state"], after["reason"], after["settled_at"]) == ("queued", None, None)
    assert (after["id"], after["idempotency_key"]) == (before["id"], before["idempotency_key"])
    assert (after["subject"], after["body"]) == ("new", "new too")
    assert after["content_hash"] != before["content_hash"]
    assert deliver(tx) == 1


@pytest.mark.parametrize("to", ["in_review", "rejected"])
def test_taking_an_approval_back_takes_the_e_mail_back(tx: psycopg.Connection, to: str) -> None:
    job = queued(tx, "c1")
    with as_tenant(tx, A):
        move_card(tx, cards(tx, job)["c1"], to)
    assert told(tx, send_of(tx, job)) == ("cancelled", TAKEN_BACK)
    assert claim(tx) == []


@pytest.mark.parametrize("state", HELD)
@pytest.mark.parametrize("to", ["in_review", "rejected", "done", "edited"])
def test_a_card_does_not_move_while_its_e_mail_may_be_going_out(
    tx: psycopg.Connection, state: str, to: str
) -> None:
    job = brought(tx, state)
    card = cards(tx, job)["c1"]
    with as_tenant(tx, A), refused(tx, "JB003", f'card "{card}" cannot become'):
        if to == "edited":
            tx.execute("update kanban_cards set title = 'new' where id = %s", [card])
        else:
            move_card(tx, card, to)
    assert send_of(tx, job)["state"] == state
    assert state_of(tx, card) == "approved"


MOVE_TO_JOB = "update kanban_cards set job_id = %s, task_id = null where id = %s"


@pytest.mark.parametrize("state", ["queued", "leased"])
def test_a_card_that_moves_to_another_job_takes_its_e_mail_along(
    tx: psycopg.Connection, state: str
) -> None:
    job, other = brought(tx, state), world.new_job(tx)
    held, card = send_of(tx, job), cards(tx, job)["c1"]
    with as_tenant(tx, A):
        tx.execute(MOVE_TO_JOB, [other, card])
    if state == "leased":
        assert begin(tx, held)["verdict"] == "cancelled"
    assert [send["job_id"] for send in claim(tx)] == [other]
    assert told(tx, held)[0] == "cancelled"


@pytest.mark.parametrize("state", ["dispatching", "unknown"])
def test_a_card_whose_e_mail_may_have_gone_out_does_not_move_to_another_job(
    tx: psycopg.Connection, state: str
) -> None:
    job, other = brought(tx, state), world.new_job(tx)
    with as_tenant(tx, A), refused(tx, "JB003"):
        tx.execute(MOVE_TO_JOB, [other, cards(tx, job)["c1"]])
    assert claim(tx) == []


def test_the_refusal_says_who_has_the_e_mail_and_what_to_do(tx: psycopg.Connection) -> None:
    for state, detail, hint in (
        ("leased", "Worker w has it.", "Wait until it is settled"),
        ("unknown", "nobody knows the answer", "Decide with resolve_unknown"),
    ):
        card = cards(tx, brought(tx, state))["c1"]
        said = f'card "{card}" cannot become "in_review" while its e-mail is "{state}"'
        with as_tenant(tx, A), refused(tx, "JB003", said) as info:
            move_card(tx, card, "in_review")
        assert detail in (info.value.diag.message_detail or "")
        assert hint in (info.value.diag.message_hint or "")


def test_a_card_whose_e_mail_was_sent_is_done_for_good(tx: psycopg.Connection) -> None:
    card = cards(tx, brought(tx, "sent"))["c1"]
    assert state_of(tx, card) == "done"
    with as_tenant(tx, A), refused(tx, "JB003", 'cannot go from "done" to "in_review"'):
        move_card(tx, card, "in_review")


@pytest.mark.parametrize("before", ["in_review", "approved"])
def test_a_rejection_ends_the_sequence_of_the_contact(tx: psycopg.Connection, before: str) -> None:
    job = drafted(tx, "c1", "c2", **THREE)
    card = cards(tx, job)["c1"]
    if before == "approved":
        approve(tx, card)
    with as_tenant(tx, A):
        move_card(tx, card, "rejected")
    assert sequence(tx, job) == ("stopped", "rejected", None)
    assert sequence(tx, job, "c2") == ("active", None, 0)
    later(tx, 20)
    assert plan(tx, job) == 0


def test_a_rejection_that_is_taken_back_lets_the_sequence_go_on(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1", **THREE)
    card = cards(tx, job)["c1"]
    with as_tenant(tx, A):
        move_card(tx, card, "rejected")
        move_card(tx, card, "in_review")
    assert sequence(tx, job) == ("active", None, 0)
    approve(tx, card)
    assert deliver(tx) == 1
    assert sequence(tx, job) == ("active", None, 1)


def test_a_rejected_extra_card_that_is_taken_back_leaves_the_sequence_where_it_was(
    tx: psycopg.Connection,
) -> None:
    job = brought(tx, "sent", **THREE)
    before = contact(tx, job)
    extra = own_card(tx, job, content={"to": "c1@example.com"})
    with as_tenant(tx, A):
        move_card(tx, extra, "rejected")
        move_card(tx, extra, "in_review")
    assert sequence(tx, job) == ("active", None, 1)
    assert contact(tx, job)["next_touch_at"] == before["next_touch_at"]


def test_with_stop_on_rejected_false_only_that_e_mail_is_left_out(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1", stop_on={"rejected": False}, **THREE)
    with as_tenant(tx, A):
        move_card(tx, cards(tx, job)["c1"], "rejected")
    assert sequence(tx, job) == ("active", None, 1)
    assert contact(tx, job)["next_touch_at"] == one(tx, "select now() + interval '4 days'")
    assert sends(tx, job) == 0
    later(tx, 4)
    assert plan(tx, job) == 2


def test_a_card_set_done_while_its_e_mail_is_queued_was_sent_by_hand(
    tx: psycopg.Connection,
) -> None:
    job = queued(tx, "c1", **THREE)
    with as_service(tx):
        move_card(tx, cards(tx, job)["c1"], "done")
    send = send_of(tx, job)
    assert (send["state"], send["provider"], send["reason"]) == (
        "sent",
        "by hand",
        "the card was set done",
    )
    assert send["dispatched_at"] == send["settled_at"] == contact(tx, job)["anchor_at"]
    assert sequence(tx, job) == ("active", None, 1)
    assert claim(tx) == []


def test_without_review_a_card_set_done_at_once_was_sent_by_hand_too(
    tx: psycopg.Connection,
) -> None:
    job = drafted(tx, "c1", **THREE)
    with as_tenant(tx, A):
        tx.execute("update jobs set params = params || '{\"review_mode\": false}'")
    with as_service(tx):
        move_card(tx, cards(tx, job)["c1"], "done")
    assert sequence(tx, job) == ("active", None, 1)


def test_an_approved_card_is_queued_when_linked_and_not_when_unlinked(
    tx: psycopg.Connection,
) -> None:
    job = world.new_job(tx)
    card = own_card(tx, None, state="approved")
    link = "update kanban_cards set job_id = %s where id = %s"
    for _ in range(2):
        with as_tenant(tx, A):
            tx.execute(link, [job, card])
        send = send_of(tx, job, "ann@elsewhere.example")
        assert send["state"] == "queued"
        with as_tenant(tx, A):
            tx.execute(link, [None, card])
        assert told(tx, send) == ("cancelled", TAKEN_BACK)
    assert sends(tx, job) == 1


def test_a_send_step_for_later_holds_the_e_mails_of_its_draft_back(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    task = world.new_task(tx, job, step=1, kind="draft_email")
    at = one(
        tx,
        "insert into job_tasks (job_id, step, kind, input) values (%s, 2, 'send_email',"
        " jsonb_build_object('wait_for_approval', true, 'scheduled_for', now() + interval '1 hour'"
        ")) returning scheduled_for",
        job,
    )
    approve(tx, own_card(tx, job, task_id=task))
    assert send_of(tx, job, "ann@elsewhere.example")["not_before"] == at
    assert claim(tx) == []


# ----------------------------------------------------------------------------- claim, begin, settle

SUPPRESS = "select jobsdb.suppress(%(org)s, '{}', '{}', 'asked')"
FINISHED = ("cancelled", "cancelled", "the job is finished")
NOT_APPROVED = ("cancelled", "cancelled", "the card is not approved")
SUPPRESSED = ("suppressed", "suppressed", "suppressed")
GOES_OUT = ("ok", "dispatching", None)
CHANGES = {
    "nothing happens": ("select", *GOES_OUT),
    "the job is paused": ("select pause_job(%(job)s)", "paused", "queued", None),
    "the job is cancelled": ("select cancel_job(%(job)s)", *FINISHED),
    "the job has failed": ("select transition_job_status(%(job)s, 'failed')", *FINISHED),
    "the job is deleted": ("delete from jobs where id = %(job)s", *FINISHED),
    "the card is deleted": ("delete from kanban_cards where id = %(card)s", *NOT_APPROVED),
    "the card is unlinked": (
        "update kanban_cards set job_id = null where id = %(card)s",
        *NOT_APPROVED,
    ),
    "the address is suppressed": (SUPPRESS.format("address", " C1@Example.com"), *SUPPRESSED),
    "the domain is suppressed": (SUPPRESS.format("domain", "example.com"), *SUPPRESSED),
    "an erased address": (
        "select jobsdb.suppress(%(org)s, 'hash',"
        " jobsdb.address_hash(%(org)s, 'c1@example.com'), 'erased')",
        *SUPPRESSED,
    ),
    "it is suppressed for all": (
        SUPPRESS.replace("%(org)s", f"'{EVERY_ORG}'").format("address", "c1@example.com"),
        *SUPPRESSED,
    ),
    "it is suppressed elsewhere": (
        SUPPRESS.replace("%(org)s", f"'{B}'").format("address", "c1@example.com"),
        *GOES_OUT,
    ),
    "a suppression that has ended": (
        "select jobsdb.suppress(%(org)s, 'domain', 'example.com', 'x', now() - interval '1 s')",
        *GOES_OUT,
    ),
    "the contact has answered": (
        "select record_send_event('p', 'e', 'reply', send_id => %(send)s)",
        "cancelled",
        "cancelled",
        "reply",
    ),
    "a card outside the sequence is rejected": (
        "update kanban_cards set state = 'rejected' where id = %(another)s",
        "ok",
        "dispatching",
        None,
    ),
}
each_change = pytest.mark.parametrize("change", CHANGES)


def changed(conn: psycopg.Connection, change: str, job: UUID) -> dict[str, Any]:
    """The send of c1 as it was, after a change."""
    send, card = send_of(conn, job), cards(conn, job)["c1"]
    another = own_card(conn, job, content={"to": "c1@example.com"})
    names = {"org": A, "job": job, "card": card, "send": send["id"], "another": another}
    statement = CHANGES[change][0]
    conn.execute(statement, names if "%(" in statement else None)
    return send


@each_change
def test_the_gate_asks_what_has_changed_since_the_claim(
    tx: psycopg.Connection, change: str
) -> None:
    job = queued(tx, "c1")
    (held,) = claim(tx)
    changed(tx, change, job)
    gate = begin(tx, held)
    verdict, state, reason = CHANGES[change][1:]
    assert gate.pop("verdict") == verdict
    content = {name: held[name] for name in gate}
    assert gate == (content if verdict == "ok" else dict.fromkeys(gate))
    assert told(tx, held) == (state, reason)
    found = row(tx, "select * from jobsdb.sends where id = %s", held["id"])
    assert (found["lease_expires_at"] is None) == (verdict != "ok")
    assert (found["dispatched_at"] is None, found["attempt"]) == (
        (False, 1) if verdict == "ok" else (True, 0)
    )
    assert (found["settled_at"] is None) == (verdict in ("ok", "paused"))
    if verdict == "suppressed":
        assert sequence(tx, job) == ("stopped", "suppressed", None)
    assert begin(tx, held)["verdict"] == "revoked"


@pytest.mark.parametrize("change", ["state = 'in_review'", "title = 'new'"])
def test_the_gate_looks_at_the_card_itself(tx: psycopg.Connection, change: str) -> None:
    queued(tx, "c1")
    (held,) = claim(tx)
    with tx.transaction(force_rollback=True):
        with world.forced(tx):
            tx.execute(f"update kanban_cards set {change}")
        assert begin(tx, held)["verdict"] == "cancelled"
    assert begin(tx, held)["verdict"] == "ok"


@each_change
def test_a_claim_asks_what_has_changed_since_the_approval(
    tx: psycopg.Connection, change: str
) -> None:
    send = changed(tx, change, queued(tx, "c1"))
    verdict, state, _ = CHANGES[change][1:]
    claimed = claim(tx)
    assert [found["id"] for found in claimed] == ([send["id"]] if verdict == "ok" else [])
    assert told(tx, send)[0] == ("leased" if verdict == "ok" else state)


def test_an_e_mail_of_a_job_that_does_not_run_yet_waits(tx: psycopg.Connection) -> None:
    job = queued(tx, "c1")
    paused = queued(tx, "c1")
    pending = campaign(tx, cadence={"day0": True})
    approve(tx, own_card(tx, pending))
    with as_tenant(tx, A):
        tx.execute("select pause_job(%s)", [paused])
    assert [send["job_id"] for send in claim(tx)] == [job]
    with as_tenant(tx, A):
        tx.execute("select resume_job(%s), transition_job_status(%s, 'running')", [paused, pending])
    later(tx, 0)
    assert {send["job_id"] for send in claim(tx)} == {paused, pending}


@pytest.mark.parametrize(
    "to",
    ["Ann <ann@example.com>", "b@elsewhere.example, ann@example.com", "<ann@example.com>",
     "ann@example.com\r\nBcc: b@elsewhere.example"],
)  # fmt: skip
def test_no_spelling_of_a_suppressed_address_gets_past_the_gate(
    tx: psycopg.Connection, to: str
) -> None:
    job = world.new_job(tx)
    tx.execute(SUPPRESS.format("address", "ann@example.com"), {"org": A})
    tx.execute(SUPPRESS.format("domain", "example.com"), {"org": A})
    with as_tenant(tx, A):
        outcome(tx, "update kanban_cards set state = 'approved' where id = %s",
                [own_card(tx, job, content={"to": to})], keep=True)  # fmt: skip
    assert "ok" not in [begin(tx, send)["verdict"] for send in claim(tx)]


def test_a_claim_does_not_walk_through_all_that_a_paused_job_has_queued(
    tx: psycopg.Connection,
) -> None:
    job = without_review(tx, 300)
    tx.execute("select pause_job(%s)", [job])
    assert claim(tx, 1) == []
    moved = "select count(*) from jobsdb.sends where not_before <> queued_at"
    assert one(tx, moved) <= 100


def test_a_claim_hands_out_what_is_due_in_order_and_no_more_than_asked_for(
    tx: psycopg.Connection,
) -> None:
    job, other = queued(tx, *"abcd"), queued(tx, "c1", org=B)
    tx.execute(
        "update jobsdb.sends set not_before = now() + (case contact_key when 'a' then '1 s'"
        " when 'd' then '-1 hour' else '0' end)::interval where job_id = %s",
        [job],
    )
    with as_service(tx):
        found = rows(tx, "select * from claim_sends('agent 7', 2, %s, '90 s')", A)
        (rest,) = rows(tx, "select * from claim_sends('w', 9, %s)", A)
        assert rows(tx, "select * from claim_sends('w', 9, %s)", UNKNOWN) == []
    assert [send["contact_key"] for send in (*found, rest)] == ["d", "b", "c"]
    assert found[0]["lease_token"] == found[1]["lease_token"] != rest["lease_token"]
    assert {(send["state"], send["locked_by"]) for send in found} == {("leased", "agent 7")}
    left = one(tx, "select %s - clock_timestamp()", found[0]["lease_expires_at"])
    assert 80 < left.total_seconds() <= 90
    assert [send["job_id"] for send in claim(tx)] == [other]


def test_a_sent_e_mail_is_settled_with_its_card_and_its_contact(tx: psycopg.Connection) -> None:
    job = queued(tx, "c1", **THREE)
    (held,) = claim(tx)
    begin(tx, held)
    assert settle(tx, held, "sent", "resend", "m-1") == "ok"
    send = send_of(tx, job)
    assert (send["state"], send["lease_expires_at"]) == ("sent", None)
    assert (send["provider"], send["provider_message_id"]) == ("resend", "m-1")
    assert state_of(tx, cards(tx, job)["c1"]) == "done"
    assert sequence(tx, job) == ("active", None, 1)
    assert contact(tx, job)["anchor_at"] == send["dispatched_at"]


@pytest.mark.parametrize("number", ["m-1", ""])
def test_a_message_id_that_comes_again_does_not_lose_the_outcome(
    tx: psycopg.Connection, number: str
) -> None:
    job = queued(tx, "c1", "c2")
    for send in claim(tx):
        begin(tx, send)
        assert settle(tx, send, "sent", "smtp", number) == "ok"
    assert send_of(tx, job, "c1")["state"] == send_of(tx, job, "c2")["state"] == "sent"


def test_what_a_provider_cannot_take_for_a_day_has_failed(tx: psycopg.Connection) -> None:
    job = queued(tx, "c1")
    tx.execute("update jobsdb.sends set attempt = 23")
    for state in ("queued", "failed"):
        tx.execute("update jobsdb.sends set not_before = now()")
        (held,) = claim(tx)
        begin(tx, held)
        assert settle(tx, held, "retry", "p", None, "451 busy") == "ok"
        assert send_of(tx, job)["state"] == state
    assert send_of(tx, job)["reason"] == "given up after 25 attempts: 451 busy"
    assert sequence(tx, job)[:2] == ("stopped", "failed")


@pytest.mark.parametrize("outcome", ["sent", "failed", "retry"])
def test_an_outcome_told_twice_counts_once(tx: psycopg.Connection, outcome: str) -> None:
    job = brought(tx, "dispatching", **THREE)
    held = send_of(tx, job)
    assert settle(tx, held, outcome) == "ok"
    after, place = send_of(tx, job), contact(tx, job)
    assert settle(tx, held, outcome) == "ok"
    assert (send_of(tx, job), contact(tx, job)) == (after, place)


def test_an_outcome_is_taken_from_its_worker_only_and_once_decided_it_stays(
    tx: psycopg.Connection,
) -> None:
    job = queued(tx, "c1")
    (held,) = claim(tx)
    assert settle(tx, held) == "revoked", "the gate was not asked"
    begin(tx, held)
    for token in (UNKNOWN, None):
        assert settle(tx, held | {"lease_token": token}) == "revoked"
        assert begin(tx, held | {"lease_token": token})["verdict"] == "revoked"
    assert send_of(tx, job)["state"] == "dispatching"
    assert settle(tx, held) == "ok"
    assert settle(tx, held, "failed") == settle(tx, held, "retry") == "revoked"
    assert send_of(tx, job)["state"] == "sent"
    for unknown in (held | {"id": world.UNKNOWN_TASK}, held | {"id": None}):
        assert settle(tx, unknown) == begin(tx, unknown)["verdict"] == "not_found"


def test_a_failure_ends_the_sequence(tx: psycopg.Connection) -> None:
    job = brought(tx, "dispatching", **THREE)
    approve(tx, own_card(tx, job, content={"to": "c1@example.com"}))
    assert settle(tx, send_of(tx, job), "failed") == "revoked", "that is the other card's"
    held = row(tx, "select * from jobsdb.sends where touch = '0'")
    assert settle(tx, held, "failed", "smtp", None, "550 " + "x" * 2000) == "ok"
    assert told(tx, held) == ("failed", ("550 " + "x" * 2000)[:1000])
    assert sequence(tx, job) == ("stopped", "failed", None)
    assert told(tx, send_of(tx, job)) == ("cancelled", "failed")


def test_a_failed_e_mail_that_a_person_approves_again_goes_out(tx: psycopg.Connection) -> None:
    job = brought(tx, "failed", **THREE)
    card = cards(tx, job)["c1"]
    with as_tenant(tx, A):
        move_card(tx, card, "in_review")
        move_card(tx, card, "approved")
    assert send_of(tx, job)["state"] == "queued"
    assert deliver(tx) == 1


def test_pauses_before_another_try_grow_and_are_spread(tx: psycopg.Connection) -> None:
    job = queued(tx, "c1", **THREE)
    waits = "select not_before - now() from jobsdb.sends where job_id = %s"
    for attempt, pause in enumerate([60, 120, 240, 480, 960, 1920, 3600, 3600], 1):
        (held,) = claim(tx)
        begin(tx, held)
        assert settle(tx, held, "retry", None, None, "451 busy") == "ok"
        assert told(tx, held) == ("queued", "451 busy")
        assert pause / 2 <= one(tx, waits, job).total_seconds() <= pause, attempt
        assert claim(tx) == []
        later(tx, 0.1)
    assert sequence(tx, job) == ("active", None, 0)
    assert send_of(tx, job)["attempt"] == 8
    assert deliver(tx) == 1


def test_impossible_arguments_are_refused(tx: psycopg.Connection) -> None:
    held = send_of(tx, brought(tx, "leased"))
    for call, code, said in (
        ("claim_sends('', 1)", "JB011", "worker is no name"),
        ("claim_sends(null, 1)", "JB011", "worker is no name"),
        ("claim_sends('w', 0)", "JB011", "max_tasks cannot be 0"),
        ("claim_sends('w', 10001)", "JB050", "too many for one claim"),
        ("claim_sends('w', 1, null, '0')", "JB011", "lease cannot be 00:00:00"),
        ("claim_sends('w', 1, null, '25 hours')", "JB011", "lease cannot be 25:00:00"),
        ("begin_send(1, null, false, '0')", "JB011", "lease cannot be 00:00:00"),
        ("begin_send(1, null, false, null)", "JB011", "lease cannot be null"),
        ("begin_send(1, null, false, '2 days')", "JB011", "lease cannot be 2 days"),
        ("settle_send(1, null, 'done')", "JB011", '"done" is no outcome of a send'),
        ("settle_send(1, null, null)", "JB011", '"null" is no outcome of a send'),
    ):
        with as_service(tx), refused(tx, code, said):
            tx.execute(f"select * from {call}")
    assert begin(tx, held)["verdict"] == "ok"


# ------------------------------------------------------------------------------------ lost workers


@pytest.mark.parametrize("by", ["tick", "claim"])
@pytest.mark.parametrize(
    ("state", "repeats", "after"),
    [
        ("leased", False, "queued"),
        ("dispatching", True, "queued"),
        ("dispatching", False, "unknown"),
    ],
)
def test_what_a_lost_worker_had_is_sent_again_only_where_that_is_safe(
    tx: psycopg.Connection, state: str, repeats: bool, after: str, by: str
) -> None:
    job = queued(tx, "c1")
    (held,) = claim(tx)
    if state == "dispatching":
        begin(tx, held, repeats)
    assert tick(tx)["sends"] == 0, "its lease has not ended"
    end_leases(tx)
    if by == "tick":
        assert tick(tx)["sends"] == 1
        assert send_of(tx, job)["state"] == after
    claimed = claim(tx)
    assert [send["id"] for send in claimed] == ([held["id"]] if after == "queued" else [])
    for send in claimed:
        assert send["lease_token"] != held["lease_token"]
        assert begin(tx, held)["verdict"] == settle(tx, held) == "revoked"
        gate = begin(tx, send, repeats)
        assert (gate["verdict"], gate["idempotency_key"]) == ("ok", held["idempotency_key"])
        assert settle(tx, send) == "ok"
    lost = ("unknown", "worker w was lost while the provider was asked")
    assert told(tx, held) == (("sent", None) if claimed else lost)


def test_a_worker_that_comes_late_to_the_gate_is_turned_away(tx: psycopg.Connection) -> None:
    queued(tx, "c1")
    (held,) = claim(tx)
    end_leases(tx)
    assert begin(tx, held)["verdict"] == "revoked"
    assert len(claim(tx)) == 1


@pytest.mark.parametrize("outcome", ["sent", "failed", "retry"])
def test_the_word_of_a_late_worker_counts_until_somebody_has_decided(
    tx: psycopg.Connection, outcome: str
) -> None:
    job = brought(tx, "unknown", **THREE)
    held = send_of(tx, job)
    assert settle(tx, held, outcome) == "ok"
    assert send_of(tx, job)["state"] == ("queued" if outcome == "retry" else outcome)
    places = {"sent": ("active", None, 1), "retry": ("active", None, 0)}
    assert sequence(tx, job) == places.get(outcome, ("stopped", "failed", None))

    decided = brought(tx, "unknown")
    held = send_of(tx, decided)
    resolve(tx, held, "resend")
    assert settle(tx, held, outcome) == "revoked"
    assert send_of(tx, decided)["state"] == "queued"


def test_what_may_have_gone_out_is_not_asked_of_a_provider_that_cannot_recognise_it(
    tx: psycopg.Connection,
) -> None:
    queued(tx, "c1")
    (held,) = claim(tx)
    begin(tx, held, repeats=True)
    lose(tx)
    for again in claim(tx):
        assert begin(tx, again, repeats=False)["verdict"] != "ok"


def test_what_may_have_gone_out_is_not_asked_again_once_the_provider_has_forgotten(
    tx: psycopg.Connection,
) -> None:
    job = queued(tx, "c1")
    (held,) = claim(tx)
    begin(tx, held, repeats=True)
    lose(tx)
    assert send_of(tx, job)["state"] == "queued"
    later(tx, 2)
    for again in claim(tx):
        assert begin(tx, again, repeats=True)["verdict"] != "ok"
    tick(tx)
    assert send_of(tx, job)["state"] == "unknown"


def test_what_may_have_gone_out_is_not_edited_under_the_key_the_provider_knows(
    tx: psycopg.Connection,
) -> None:
    job = queued(tx, "c1")
    (held,) = claim(tx)
    begin(tx, held, repeats=True)
    lose(tx)
    with as_tenant(tx, A), refused(tx, "JB003"):
        tx.execute(EDIT)
    assert send_of(tx, job)["subject"] == "Hello c1"


# ----------------------------------------------------------------------------------------- unknown

DECISIONS = {
    "delivered": ("sent", ("active", None, 1)),
    "resend": ("queued", ("active", None, 0)),
    "cancel": ("cancelled", ("stopped", "cancelled", None)),
}
RESOLVE = "select resolve_unknown(%s, %s, %s)"
Who = Callable[[psycopg.Connection], Any]
DECIDERS: dict[str, tuple[Who, UUID | None, UUID]] = {
    "a tenant": (lambda conn: as_tenant(conn, A), None, A),
    "a tenant who names himself": (lambda conn: as_tenant(conn, A), A, A),
    "a member": (lambda conn: as_tenant(conn, MEMBER), None, MEMBER),
    "the service role for a member": (as_service, MEMBER, MEMBER),
    "the service role for the owner": (as_service, A, A),
}


@pytest.mark.parametrize("who", DECIDERS)
@pytest.mark.parametrize("decision", DECISIONS)
def test_a_person_decides_about_an_unknown_send(
    tx: psycopg.Connection, decision: str, who: str
) -> None:
    job = brought(tx, "unknown", **THREE)
    send = send_of(tx, job)
    persona, reviewer, decider = DECIDERS[who]
    with persona(tx):
        assert one(tx, RESOLVE, send["id"], decision, reviewer) == decision
    state, place = DECISIONS[decision]
    assert told(tx, send) == (state, f"{decision} by {decider}")
    assert sequence(tx, job) == place
    assert (state_of(tx, cards(tx, job)["c1"]) == "done") == (decision == "delivered")
    if decision == "delivered":
        assert contact(tx, job)["anchor_at"] == send["dispatched_at"]
    with persona(tx), refused(tx, "JB030", f'send "{send["id"]}" is "{state}"'):
        tx.execute(RESOLVE, [send["id"], "delivered", reviewer])
    assert deliver(tx) == (decision == "resend")


NOT_DECIDERS: dict[str, tuple[Who, UUID | None, str, str]] = {
    "the service role for nobody": (as_service, None, "JB003", "nobody is there who could decide"),
    "the service role for a stranger": (as_service, B, "JB003", f'"{B}" cannot decide here'),
    "the owner for nobody": (lambda c: c.transaction(), None, "JB003", "nobody is there"),
    "a tenant for another": (lambda c: as_tenant(c, A), MEMBER, "JB003", "cannot decide here"),
    "another organisation": (lambda c: as_tenant(c, B), None, "JB020", "not found or is not yours"),
    "another for a member": (lambda c: as_tenant(c, B), A, "JB020", "not found or is not yours"),
    "nobody": (as_nobody, None, "JB020", "not found or is not yours"),
    "nobody for a member": (as_nobody, A, "JB020", "not found or is not yours"),
    "who has not signed in": (as_anon, None, "42501", "permission denied"),
}


@pytest.mark.parametrize("who", NOT_DECIDERS)
def test_nobody_else_decides(tx: psycopg.Connection, who: str) -> None:
    send = send_of(tx, brought(tx, "unknown"))
    persona, reviewer, code, said = NOT_DECIDERS[who]
    with persona(tx), refused(tx, code, said):
        tx.execute(RESOLVE, [send["id"], "resend", reviewer])
    assert told(tx, send)[0] == "unknown"


def test_a_foreign_and_an_unknown_send_are_refused_alike_and_others_are_not_unknown(
    tx: psycopg.Connection,
) -> None:
    send = send_of(tx, brought(tx, "unknown"))
    texts = set()
    for target in (send["id"], world.UNKNOWN_TASK, None):
        said = f'send "{target or "null"}" was not found or is not yours'
        with as_tenant(tx, B), refused(tx, "JB020", said) as info:
            tx.execute(RESOLVE, [target, "resend", None])
        texts.add((info.value.diag.message_detail, info.value.diag.message_hint))
    assert len(texts) == 1
    for decision in ("sent", None):
        with as_tenant(tx, A), refused(tx, "JB011", f'"{decision or "null"}" decides nothing'):
            tx.execute(RESOLVE, [send["id"], decision, None])
    for state in ("queued", "leased", "dispatching", "sent", "failed"):
        other = send_of(tx, brought(tx, state))
        with as_tenant(tx, A), refused(tx, "JB030", f'send "{other["id"]}" is "{state}"'):
            tx.execute(RESOLVE, [other["id"], "delivered", None])
        world.move_job(tx, other["job_id"], "cancelled")


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_what_is_unknown_in_a_finished_job_is_listed_and_not_sent_again(
    tx: psycopg.Connection, end: str
) -> None:
    job = brought(tx, "unknown", **THREE)
    send = send_of(tx, job)
    assert blockers(tx, job)["sends_unknown"]["ids"] == [send["id"]]
    world.move_job(tx, job, end)
    assert list(blockers(tx, job)) == ["sends_unknown"]
    with as_tenant(tx, A), refused(tx, "JB040", f'send "{send["id"]}" cannot be sent again'):
        tx.execute(RESOLVE, [send["id"], "resend", None])
    with as_tenant(tx, A):
        assert one(tx, RESOLVE, send["id"], "delivered", None) == "delivered"
    assert blockers(tx, job) == {}


def test_what_is_unknown_is_not_sent_again_to_whom_has_been_suppressed_since(
    tx: psycopg.Connection,
) -> None:
    send = send_of(tx, brought(tx, "unknown"))
    tx.execute(SUPPRESS.format("domain", "example.com"), {"org": A})
    said = f'send "{send["id"]}" cannot be sent again: its recipient is suppressed'
    with as_tenant(tx, A), refused(tx, "JB060", said):
        tx.execute(RESOLVE, [send["id"], "resend", None])
    with as_tenant(tx, A):
        assert one(tx, RESOLVE, send["id"], "cancel", None) == "cancel"


# ------------------------------------------------------------------------------------------ events

GOES_ON = ("active", None, 1)
EVENTS = {
    "delivered": (GOES_ON, False),
    "open_human": (GOES_ON, False),
    "open_machine": (GOES_ON, False),
    "click": (GOES_ON, False),
    "auto_reply": (GOES_ON, False),
    "bounce_soft": (GOES_ON, False),
    "reply": (("stopped", "reply", None), False),
    "bounce_hard": (("stopped", "bounce_hard", None), True),
    "complaint": (("stopped", "complaint", None), True),
    "unsubscribe": (("stopped", "unsubscribe", None), True),
}


def event(conn: psycopg.Connection, send: dict[str, Any], name: str, number: object = 1) -> str:
    call = "select record_send_event('p', %s, %s, send_id => %s, detail => '{\"a\": 1}')"
    with as_service(conn):
        return one(conn, call, f"e{number}", name, send["id"])


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_kept_and_means_what_it_says(tx: psycopg.Connection, name: str) -> None:
    job = brought(tx, "sent", **THREE)
    send = send_of(tx, job)
    assert event(tx, send, name) == "ok"
    place, is_suppressed = EVENTS[name]
    assert sequence(tx, job) == place
    assert suppressed(tx, "C1@example.com") == is_suppressed
    assert not suppressed(tx, "c1@example.com", B)
    assert send_of(tx, job) == send
    kept = row(tx, "select * from jobsdb.send_events where send_id = %s", send["id"])
    assert (kept["event"], kept["org_id"], kept["detail"]) == (name, A, {"a": 1})
    later(tx, 4)
    assert plan(tx, job) == (2 if place == GOES_ON else 0)
    draft(tx)
    if place == GOES_ON:
        approve(tx, cards(tx, job)["c1"])
    assert deliver(tx) == (place == GOES_ON)


def test_every_event_the_schema_knows_is_tested(tx: psycopg.Connection) -> None:
    known = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'event_is_known'"
    assert {word for word in one(tx, known).split("'") if word in EVENTS} == set(EVENTS)
    assert one(tx, known).count("'") == 2 * len(EVENTS)


def test_a_reply_stops_what_is_queued_and_with_stop_on_reply_false_nothing(
    tx: psycopg.Connection,
) -> None:
    for stop_on, place in (({}, ("stopped", "reply", None)), ({"reply": False}, GOES_ON)):
        job = brought(tx, "sent", stop_on=stop_on, **THREE)
        send = send_of(tx, job)
        approve(tx, own_card(tx, job, content={"to": "c1@example.com"}))
        assert event(tx, send, "reply", job) == "ok"
        assert sequence(tx, job) == place
        assert send_of(tx, job)["state"] == ("queued" if place == GOES_ON else "cancelled")


def test_a_complaint_stops_also_with_stop_on_reply_false(tx: psycopg.Connection) -> None:
    job = brought(tx, "sent", stop_on={"reply": False, "rejected": False}, **THREE)
    assert event(tx, send_of(tx, job), "complaint") == "ok"
    assert sequence(tx, job) == ("stopped", "complaint", None)


def test_an_event_is_noted_once_and_found_by_its_message(tx: psycopg.Connection) -> None:
    job = brought(tx, "dispatching", **THREE)
    send = send_of(tx, job)
    assert settle(tx, send, "sent", "resend", "m-1") == "ok"
    call = "select record_send_event(%s, %s, %s, %s)"
    with as_service(tx):
        assert one(tx, call, "resend", "e1", "open_human", "m-1") == "ok"
        assert one(tx, call, "resend", "e1", "complaint", "m-1") == "known"
        assert one(tx, call, "resend", "e2", "reply", "m-2") == "not_found"
        assert one(tx, call, "ses", "e2", "reply", "m-1") == "not_found"
        assert one(tx, call, "resend", "e2", "reply", None) == "not_found"
    assert event(tx, {"id": world.UNKNOWN_TASK}, "reply") == "not_found"
    assert column(tx, "select event from jobsdb.send_events") == ["open_human"]
    assert sequence(tx, job) == GOES_ON


def test_an_event_keeps_the_time_the_provider_says(tx: psycopg.Connection) -> None:
    send = send_of(tx, brought(tx, "sent"))
    at = datetime(2025, 1, 31, 9, tzinfo=UTC)
    call = "select record_send_event('p', 'e', 'click', send_id => %s, happened_at => %s)"
    with as_service(tx):
        tx.execute(call, [send["id"], at])
    assert one(tx, "select happened_at from jobsdb.send_events") == at


def test_impossible_events_are_refused(tx: psycopg.Connection) -> None:
    for provider, number, name in (
        ("p", "e", "bounce"), ("p", "e", None), ("", "e", "click"), (None, "e", "click"),
        ("p", "", "click"), ("p", None, "click"), ("p" * 201, "e", "click"), ("p", "e" * 501, "x"),
    ):  # fmt: skip
        with as_service(tx), refused(tx, "JB011", "this event cannot be recorded"):
            tx.execute("select record_send_event(%s, %s, %s)", [provider, number, name])
    with as_service(tx), refused(tx, "JB012"):
        detail = Jsonb("x" * (1 << 20))
        tx.execute("select record_send_event('p', 'e', 'click', detail => %s)", [detail])


def test_three_soft_bounces_in_a_month_suppress_for_a_month(tx: psycopg.Connection) -> None:
    job = brought(tx, "sent", **THREE)
    send = send_of(tx, job)
    kept = "select expires_at - now(), reason from jobsdb.suppressions where value = %s"
    event(tx, send, "bounce_soft", 0)
    tx.execute("update jobsdb.send_events set happened_at = now() - interval '31 days'")
    for number in (1, 2):
        assert event(tx, send, "bounce_soft", number) == "ok"
        assert event(tx, send, "bounce_soft", number) == "known"
        assert not suppressed(tx, "c1@example.com")
    event(tx, send, "bounce_soft", 3)
    assert suppressed(tx, "c1@example.com")
    month = (timedelta(days=30), "bounce_soft")
    assert tx.execute(kept, ["c1@example.com"]).fetchall() == [month]
    event(tx, send, "bounce_hard", 4)
    event(tx, send, "bounce_soft", 5)
    assert tx.execute(kept, ["c1@example.com"]).fetchall() == [(None, "bounce_hard")], "for good"


# ------------------------------------------------------------------------------------------ limits

HOUR = "1 hour"
LIMITS: dict[str, tuple[list[tuple[Any, ...]], dict[str, int]]] = {
    "none": ([], {"one": 3, "two": 3}),
    "the organisation": ([(2, HOUR)], {"all": 2}),
    "nothing": ([(0, HOUR, "org")], {"all": 0}),
    "one domain": ([(1, HOUR, "domain", "ONE.example")], {"one": 1, "two": 3}),
    "a blocked domain": ([(0, HOUR, "domain", "one.example")], {"one": 0, "two": 3}),
    "each domain": ([(2, HOUR, "domain", "*")], {"one": 2, "two": 2}),
    "one mailbox": ([(1, HOUR, "mailbox", "two@ours.example")], {"one": 3, "two": 1}),
    "a mailbox in capitals": ([(1, HOUR, "mailbox", "One@ours.example")], {"one": 1, "two": 3}),
    "each mailbox": ([(2, HOUR, "mailbox")], {"one": 2, "two": 2}),
    "the tightest of several": (
        [(5, HOUR), (4, "1 day", "domain"), (1, HOUR, "domain", "two.example")],
        {"one": 3, "two": 1},
    ),
    "two together": ([(4, HOUR), (1, HOUR, "domain", "one.example")], {"one": 1, "two": 3}),
    "what is of no use here": ([(0, HOUR, "domain", "three.example")], {"one": 3, "two": 3}),
}


def limit(conn: psycopg.Connection, *limit: object, org: UUID = A) -> None:
    given = [org, *limit]
    with as_service(conn):
        conn.execute(f"select jobsdb.limit_sends({', '.join(['%s'] * len(given))})", given)


def two_senders(conn: psycopg.Connection) -> None:
    """Three e-mails of One@ours.example to one.example, three of two@… to two.example."""
    for name, mailbox in (("one", "One@ours.example"), ("two", "two@ours.example")):
        people = [person(f"{name}{i}", f"{i}@{name}.example", [name]) for i in range(3)]
        queued(conn, *people, target_group=name, mailbox=mailbox)


@pytest.mark.parametrize("at_once", [1, 100])
@pytest.mark.parametrize("name", LIMITS)
def test_no_more_than_allowed_are_handed_out(
    tx: psycopg.Connection, name: str, at_once: int
) -> None:
    two_senders(tx)
    queued(tx, "c1", org=B)
    limits, expected = LIMITS[name]
    for each in limits:
        limit(tx, *each)
    found: list[dict[str, Any]] = []
    while claimed := claim(tx, at_once):
        assert len(claimed) <= at_once
        found += claimed
    counted = Counter(send["domain"].removesuffix(".example") for send in found)
    assert counted.pop("example.com") == 1, "another organisation has limits of its own"
    if "all" in expected:
        assert counted.total() == expected["all"]
    else:
        assert {"one": 0, "two": 0} | counted == expected


def test_a_limit_counts_what_is_in_hand_and_what_was_tried_in_its_period(
    tx: psycopg.Connection,
) -> None:
    two_senders(tx)
    limit(tx, 2, HOUR)
    first, _ = claim(tx)
    assert claim(tx) == []
    begin(tx, first)
    assert claim(tx) == []
    settle(tx, first, "failed")
    assert claim(tx) == [], "it was tried"
    end_leases(tx)
    (third,) = claim(tx)  # a worker that has asked nobody has used nothing up
    begin(tx, third)
    settle(tx, third)
    later(tx, 0.5 / 24)
    assert claim(tx) == []
    later(tx, 0.5 / 24)
    assert len(claim(tx)) == 2


def test_a_limit_can_be_changed_and_taken_away(tx: psycopg.Connection) -> None:
    two_senders(tx)
    limit(tx, 1, HOUR)
    limit(tx, 1, HOUR, "domain", "one.example")
    assert len(claim(tx)) == 1
    limit(tx, 2, HOUR)
    assert len(claim(tx)) == 1
    limit(tx, None, None)
    limit(tx, None, None, "domain", "ONE.example")
    assert len(claim(tx)) == 4


def test_impossible_limits_are_refused(tx: psycopg.Connection) -> None:
    for given in (
        (-1, HOUR), (1, "0"), (1, "-1 hour"), (1, None), (1, HOUR, "job"), (1, HOUR, None),
        (1, HOUR, "domain", ""), (1, HOUR, "domain", None),
    ):  # fmt: skip
        with refused(tx, "JB011", "this limit cannot be kept"):
            limit(tx, *given)


def test_a_limit_that_would_limit_nothing_is_refused(tx: psycopg.Connection) -> None:
    with refused(tx, "JB011", "this limit cannot be kept"):
        limit(tx, 1, HOUR, "org", "ours.example")


def test_impossible_suppressions_are_refused(tx: psycopg.Connection) -> None:
    for wrong in (("email", "x", "y"), ("address", " ", "y"), ("address", "x", ""), (None,) * 3):
        with as_service(tx), refused(tx, "JB011", "this suppression cannot be kept"):
            tx.execute("select jobsdb.suppress(%s, %s, %s, %s)", [A, *wrong])


# ----------------------------------------------------------------------------------------- windows

ZONES = (
    "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
    "America/Sao_Paulo",
)  # fmt: skip
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOWS: tuple[dict[str, Any], ...] = (
    {"from": "09:00", "to": "17:00", "days": ["mon", "tue", "wed", "thu", "fri"]},
    {"from": "00:00", "to": "24:00", "days": ["Saturday", "Sunday"]},
    {"from": "01:30", "to": "03:15"},
    {"from": "23:30", "days": ["fri", "sat"]},
    {"to": "00:30", "days": ["sun"]},
    {"from": "02:10", "to": "02:20"},
)


def transitions(zone: ZoneInfo) -> list[datetime]:
    """The moments from 2005 to 2025 at which clocks of a zone are changed, to a minute."""
    found = []
    day = datetime(2005, 1, 1, tzinfo=UTC)
    while day.year < 2026:
        early, late = day, day + timedelta(days=1)
        if early.astimezone(zone).utcoffset() != late.astimezone(zone).utcoffset():
            while late - early > timedelta(minutes=1):
                middle = early + (late - early) / 2
                is_same = middle.astimezone(zone).utcoffset() == early.astimezone(zone).utcoffset()
                early, late = (middle, late) if is_same else (early, middle)
            found.append(late)
        day += timedelta(days=1)
    return found


def clock(text: str) -> timedelta:
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def is_open(window: dict[str, Any], zone: ZoneInfo, at: datetime) -> bool:
    wall = at.astimezone(zone).replace(tzinfo=None)
    since_midnight = wall - datetime.combine(wall, time())
    days = [name.lower()[:3] for name in window.get("days", WEEK)]
    return WEEK[wall.weekday()] in days and (
        clock(window.get("from", "00:00")) <= since_midnight < clock(window.get("to", "24:00"))
    )


def opening(window: dict[str, Any], zone: ZoneInfo, at: datetime) -> tuple[datetime, bool]:
    """The next moment a window is open, and whether clocks leave no doubt about it."""
    wall = at.astimezone(zone).replace(tzinfo=None)
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    is_plain = first == second
    if is_open(window, zone, at):
        return at, is_plain
    for days in range(16):
        opens = datetime.combine(wall.date(), time()) + timedelta(days=days)
        opens += clock(window.get("from", "00:00"))
        twice = [opens.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        is_plain = is_plain and twice[0] == twice[1]
        if found := [on for on in sorted(twice) if on > at and is_open(window, zone, on)]:
            return found[0], is_plain
    raise AssertionError("the window never opens")


def test_the_next_opening_is_never_early_never_outside_and_the_first(
    tx: psycopg.Connection, seed: int
) -> None:
    choose = random.Random(seed)
    pairs = []
    for name in ZONES:
        moments = transitions(ZoneInfo(name)) or [datetime(2015, 6, 1, tzinfo=UTC)]
        for _ in range(350):
            near = choose.choice(moments) + timedelta(seconds=choose.randint(-3 * 86400, 3 * 86400))
            pairs.append((choose.choice(WINDOWS), name, near))
    tx.execute("set local timezone to 'UTC'")
    answers = column(
        tx,
        "select jobsdb.next_open(jsonb_build_object('send_window', a.w), a.z, a.t)"
        " from unnest(%s::jsonb[], %s::text[], %s::timestamptz[]) with ordinality as a (w, z, t, n)"
        " order by a.n",
        [Jsonb(window) for window, _, _ in pairs],
        [name for _, name, _ in pairs],
        [at for _, _, at in pairs],
    )
    plain = 0
    for (window, name, at), answer in zip(pairs, answers, strict=True):
        said = f"{window} in {name} from {at}: {answer}"
        zone = ZoneInfo(name)
        first, is_plain = opening(window, zone, at)
        assert answer >= at, said
        assert is_open(window, zone, answer), said
        assert abs(answer - first) <= timedelta(hours=1), f"{said}, not {first}"
        if is_plain:
            assert answer == first, f"{said}, not {first}"
            plain += 1
    assert plain > len(pairs) / 2


def test_an_e_mail_is_queued_for_the_opening_on_the_clock_of_its_contact(
    tx: psycopg.Connection,
) -> None:
    zones = {"c1": "Asia/Kathmandu", "c2": "Mars/Base", "c3": None, "c4": "America/New_York"}
    tx.execute("set local timezone to 'UTC'")
    now = one(tx, "select now()")
    for extra, own in (({}, True), ({"in": "job"}, False)):
        day = WEEK[(now.weekday() + 3) % 7]
        window = {"from": "10:00", "to": "11:00", "days": [day], "tz": "Europe/Berlin", **extra}
        people = [person(key, time_zone=zone) for key, zone in zones.items()]
        job = queued(tx, *people, send_window=window)
        for key, zone in zones.items():
            known = zone if own and zone and "Mars" not in zone else "Europe/Berlin"
            assert send_of(tx, job, key)["not_before"] == opening(window, ZoneInfo(known), now)[0]
    assert claim(tx) == []
    window["tz"] = "Mars/Base"
    job = queued(tx, "c3", send_window=window)
    assert send_of(tx, job, "c3")["not_before"] == opening(window, ZoneInfo("UTC"), now)[0]


@pytest.mark.parametrize("late", ["not claimed in time", "resent", "tried again"])
def test_what_comes_too_late_for_its_window_waits_for_the_next(
    tx: psycopg.Connection, late: str
) -> None:
    job = brought(tx, {"resent": "unknown", "tried again": "dispatching"}.get(late, "queued"))
    day = WEEK[(one(tx, "select now()").weekday() + 3) % 7]
    window = Jsonb({"send_window": {"days": [day]}})
    tx.execute("update jobs set params = params || %s where id = %s", [window, job])
    if late == "resent":
        resolve(tx, send_of(tx, job), "resend")
    elif late == "tried again":
        settle(tx, send_of(tx, job), "retry")
        tx.execute("update jobsdb.sends set not_before = now()")
    assert claim(tx) == []
    assert send_of(tx, job)["state"] == "queued"


# ----------------------------------------------------------------------------------------- cadence


def next_touch(conn: psycopg.Connection, job: UUID) -> int:
    """Plan, draft and approve the touch of everybody who is due."""
    planned = plan(conn, job)
    draft(conn)
    waiting = "select id from kanban_cards where job_id = %s and state = 'in_review'"
    approve(conn, *column(conn, waiting, job))
    return planned


def test_days_count_from_the_first_e_mail_that_really_went_out(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1", **THREE)
    later(tx, 2)
    assert next_touch(tx, job) == 0, "the first one waits for a person"
    assert deliver(tx) == 1
    place = contact(tx, job)
    assert place["anchor_at"] == send_of(tx, job)["dispatched_at"]
    assert place["next_touch_at"] - place["anchor_at"] == timedelta(days=4)
    later(tx, 3.9)
    assert plan(tx, job) == 0
    later(tx, 0.1)
    assert next_touch(tx, job) == 2
    assert plan(tx, job) == 0
    later(tx, 3)
    assert deliver(tx) == 1
    place = contact(tx, job)
    assert (place["next_touch"], send_of(tx, job)["touch"]) == (2, "1")
    assert place["next_touch_at"] - place["anchor_at"] == timedelta(days=10)
    later(tx, 3)
    assert next_touch(tx, job) == 2
    assert deliver(tx) == 1
    assert sequence(tx, job) == ("finished", None, None)
    assert contact(tx, job)["next_touch_at"] is None
    later(tx, 100)
    assert plan(tx, job) == 0
    assert tick(tx)["settled"] == 1
    assert status_of(tx, job) == "succeeded"
    assert sends(tx, job) == 3


def test_days_count_from_the_first_day_of_the_cadence(tx: psycopg.Connection) -> None:
    job = queued(tx, "c1", cadence={"day3": "intro", "day5": "intro"})
    deliver(tx)
    place = contact(tx, job)
    assert place["next_touch_at"] - place["anchor_at"] == timedelta(days=2)


def test_a_slow_review_delays_only_its_contact(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1", "c2", **THREE)
    slow = cards(tx, job)["c2"]
    approve(tx, cards(tx, job)["c1"])
    deliver(tx)
    later(tx, 4)
    with as_service(tx):
        assert rows(tx, "select * from claim_planning('w')") == [{"job_id": job, "tasks": 2}]
    planned = "select input -> 'contact_ids' from job_tasks where batch = 1 and step = 1"
    assert one(tx, planned) == ["c1"]
    approve(tx, slow)
    deliver(tx)
    assert (contact(tx, job)["next_touch"], contact(tx, job, "c2")["next_touch"]) == (1, 1)
    apart = contact(tx, job, "c2")["anchor_at"] - contact(tx, job)["anchor_at"]
    assert apart > timedelta(days=4)


# ------------------------------------------------------------------------------------------ the end


def blockers(conn: psycopg.Connection, job: UUID, org: UUID = A) -> dict[str, dict[str, Any]]:
    with as_tenant(conn, org):
        found = rows(conn, "select * from job_blockers(%s)", job)
    for blocker in found:
        is_counted = blocker["what"] not in ("job_pending", "job_paused")
        assert str(blocker["items"]) in blocker["sentence"] or not is_counted
        assert blocker["oldest_at"] is not None
    return {blocker["what"]: blocker for blocker in found}


def settled(conn: psycopg.Connection, job: UUID, org: UUID = A) -> str:
    with as_tenant(conn, org):
        return one(conn, "select status from settle_job(%s)", job)


def test_blockers_say_what_is_open_since_when_and_when_it_goes_on(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    job = campaign(tx, **THREE)
    assert set(blockers(tx, job)) == {"job_pending", "tasks_pending", "contacts_active"}
    world.move_job(tx, job, "running")
    world.new_task(tx, job, "running")
    assert set(blockers(tx, job)) == {"tasks_pending", "tasks_running", "contacts_active"}
    tx.execute("update job_tasks set status = 'done' where status = 'running'")
    draft(tx)
    assert set(blockers(tx, job)) == {"tasks_pending", "cards_in_review", "contacts_active"}
    approve(tx, cards(tx, job)["c1"])
    approved = {"tasks_pending", "cards_approved", "contacts_active"}
    found = blockers(tx, job)
    assert set(found) == {*approved, "sends_open"}
    assert found["sends_open"]["next_at"] == send_of(tx, job)["not_before"]
    (held,) = claim(tx)
    assert set(blockers(tx, job)) == {*approved, "sends_open"}
    begin(tx, held)
    assert set(blockers(tx, job)) == {*approved, "sends_open"}
    lose(tx)
    found = blockers(tx, job)
    assert set(found) == {*approved, "sends_unknown"}
    assert "resolve_unknown" in found["sends_unknown"]["sentence"]
    tx.execute("select pause_job(%s)", [job])
    assert set(blockers(tx, job)) == {*approved, "sends_unknown", "job_paused"}
    assert settled(tx, job) == "running"
    tx.execute("select resume_job(%s)", [job])
    assert settle(tx, held) == "ok"
    assert settled(tx, job) == "running"
    found = blockers(tx, job)
    assert set(found) == {"contacts_active"}
    assert found["contacts_active"]["next_at"] == contact(tx, job)["next_touch_at"]
    event(tx, held, "reply")
    assert blockers(tx, job) == {}
    assert settled(tx, job) == settled(tx, job) == "succeeded"
    assert blockers(tx, job) == {}


def test_send_tasks_end_with_their_cards_while_the_job_waits_for_a_day(
    tx: psycopg.Connection,
) -> None:
    job = drafted(tx, *"abc", batch_size=2, **THREE)
    status = "select array_agg(status::text order by step) from job_tasks where job_id = %s"
    approve(tx, cards(tx, job)["a"], cards(tx, job)["c"])
    deliver(tx)
    tick(tx)
    assert one(tx, status, job) == ["done", "pending", "done", "done"]
    with as_tenant(tx, A):
        move_card(tx, cards(tx, job)["b"], "rejected")
    assert settled(tx, job) == "running"
    assert one(tx, status, job) == ["done"] * 4


@pytest.mark.parametrize(
    ("sent", "failed", "rate", "end"),
    [
        (2, 0, None, "succeeded"),
        (2, 2, None, "succeeded"),
        (1, 2, None, "failed"),
        (0, 1, None, "failed"),
        (1, 2, 0.3, "succeeded"),
        (3, 1, 0.8, "failed"),
        (0, 2, 0, "succeeded"),
        (0, 0, 1, "succeeded"),
    ],
)
def test_a_job_has_failed_when_too_few_of_its_e_mails_went_out(
    tx: psycopg.Connection, sent: int, failed: int, rate: float | None, end: str
) -> None:
    keys = [f"c{i}" for i in range(sent + failed)]
    job = queued(tx, *keys, "c", min_success_rate=rate)
    with as_tenant(tx, A):
        move_card(tx, cards(tx, job)["c"], "rejected")
    for number, send in enumerate(claim(tx)):
        begin(tx, send)
        settle(tx, send, "sent" if number < sent else "failed")
        if number >= sent:
            with as_tenant(tx, A):
                move_card(tx, cards(tx, job)[send["contact_key"]], "rejected")
    tick(tx)
    assert status_of(tx, job) == end


def nothing_sent(conn: psycopg.Connection, how: str) -> UUID:
    """A job with two contacts: c1 was sent its e-mail, c2 never will be."""
    job = queued(conn, "c1", "c2")
    card = cards(conn, job)["c2"]
    if how == "its card was deleted":
        conn.execute("delete from kanban_cards where id = %s", [card])
    elif how == "it is the second for its touch":
        task = one(conn, "select task_id from kanban_cards where id = %s", card)
        approve(conn, own_card(conn, job, task_id=task, content={"to": "c2@example.com"}))
    elif how == "it was suppressed":
        conn.execute(SUPPRESS.format("address", "c2@example.com"), {"org": A})
    for send in claim(conn):
        if send["contact_key"] == "c2":
            if how == "it was answered":
                event(conn, send, "reply")
            if how == "it was given up":
                begin(conn, send)
                continue
        if begin(conn, send)["verdict"] == "ok":
            is_failure = how == "it failed" and send["contact_key"] == "c2"
            settle(conn, send, "failed" if is_failure else "sent")
    if how == "it was given up":
        lose(conn)
        resolve(conn, send_of(conn, job, "c2"), "cancel")
    return job


@pytest.mark.parametrize(
    "how",
    ["it was answered", "it was suppressed", "it failed", "it was given up",
     "it is the second for its touch", "its card was deleted"],
)  # fmt: skip
def test_an_e_mail_that_never_goes_out_does_not_keep_the_job_running(
    tx: psycopg.Connection, how: str
) -> None:
    job = nothing_sent(tx, how)
    tick(tx)
    assert blockers(tx, job) == {}
    assert status_of(tx, job) == "succeeded"


@pytest.mark.parametrize("how", ["skipped", "done without a card", "in error, given up"])
def test_a_contact_nobody_wrote_to_does_not_keep_the_job_running(
    tx: psycopg.Connection, how: str
) -> None:
    add(tx, person("c1"))
    job = campaign(tx, status="running")
    to = {"skipped": "skipped", "done without a card": "done"}.get(how, "error")
    change = "update job_tasks set status = %s where job_id = %s and kind = %s"
    tx.execute(change, [to, job, "draft_email"])
    if to != "done":
        tx.execute(change, ["skipped", job, "send_email"])
    tick(tx)
    assert blockers(tx, job) == {}
    assert status_of(tx, job) == ("failed" if to == "error" else "succeeded")


def test_a_job_has_failed_when_nothing_was_tried_and_a_task_is_in_error(
    tx: psycopg.Connection,
) -> None:
    for states, end in (
        (["error"], "failed"), (["done", "error"], "failed"), (["done", "skipped"], "succeeded"),
    ):  # fmt: skip
        job = world.new_job(tx)
        for state in states:
            world.new_task(tx, job, state)
        assert settled(tx, job) == end


def test_a_campaign_that_addresses_nobody_succeeds(tx: psycopg.Connection) -> None:
    assert settled(tx, campaign(tx, status="running")) == "succeeded"
    add(tx, person("c1", None))
    excluded = campaign(tx, status="running")
    tick(tx)
    assert status_of(tx, excluded) == "succeeded"


def test_a_campaign_that_addresses_nobody_succeeds_without_being_asked(
    tx: psycopg.Connection,
) -> None:
    job = campaign(tx, status="running")
    plain = world.new_job(tx)
    tick(tx)
    assert status_of(tx, job) == "succeeded"
    assert status_of(tx, plain) == "running", "an agent may be about to add its tasks"


def test_only_a_running_job_is_settled(tx: psycopg.Connection) -> None:
    add(tx, person("c1", None))
    for status in ("pending", *world.FINISHED):
        assert settled(tx, campaign(tx, status=status)) == status
    job = campaign(tx, status="running")
    tx.execute("select pause_job(%s)", [job])
    assert settled(tx, job) == "running"
    tick(tx)
    assert set(blockers(tx, job)) == {"job_paused"}
    tx.execute("select resume_job(%s)", [job])
    assert settled(tx, job, MEMBER) == "succeeded"


# ----------------------------------------------------------------------------------------- tenancy


def test_sending_is_for_the_service_role_and_its_tables_for_nobody(tx: psycopg.Connection) -> None:
    brought(tx, "dispatching")
    strangers = (as_anon, as_nobody, lambda c: as_tenant(c, A), lambda c: as_tenant(c, B))
    for who in strangers:
        for call in (
            "claim_sends('w')",
            f"begin_send(1, '{A}')",
            f"settle_send(1, '{A}', 'sent')",
            "record_send_event('p', 'e', 'click')",
            f"jobsdb.limit_sends('{A}', 1, '1 hour')",
            f"jobsdb.suppress('{A}', 'address', 'x', 'y')",
            "jobsdb.rescue_sends()",
            f"jobsdb.stop_contact('{A}', '{A}', 'c1', 'x')",
        ):
            with who(tx), refused(tx, "42501", "permission denied"):
                tx.execute(f"select * from {call}")
    for who in (*strangers, as_service):
        for table in ("sends", "send_events", "rate_limits", "suppressions"):
            with who(tx):
                for attempt in ("select from jobsdb.{}", "delete from jobsdb.{}",
                                "insert into jobsdb.{} default values"):  # fmt: skip
                    assert outcome(tx, attempt.format(table)) == "42501", (attempt, table)


def test_a_foreign_and_an_unknown_job_are_refused_alike(tx: psycopg.Connection) -> None:
    job = brought(tx, "sent")
    for call in ("settle_job", "job_blockers"):
        for target in (job, UNKNOWN, None):
            said = f'job "{target or "null"}" was not found or is not yours'
            with as_tenant(tx, B), refused(tx, "JB020", said):
                tx.execute(f"select * from {call}(%s)", [target])
        with as_anon(tx), refused(tx, "42501", "permission denied"):
            tx.execute(f"select * from {call}(%s)", [job])
    assert status_of(tx, job) == "running"
    with as_service(tx):
        assert one(tx, "select status from settle_job(%s)", job) == "succeeded"


# ------------------------------------------------------------------------------------ two at a time


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_two_webhooks_with_one_event_note_it_once(stage: Stage, end: str) -> None:
    job = queued(stage.watch, "c1", org=stage.org)
    deliver(stage.watch)
    values = [send_of(stage.watch, job)["id"]]
    first, second = stage.session("service_role"), stage.session("service_role")
    call = "select record_send_event('p', 'e', 'bounce_soft', send_id => %s)"
    first.begin()
    assert first.run(call, values) == [("ok",)]
    step = second.start(call, values)
    assert step.waits()
    first.end(end)
    assert step.rows() == [("known" if end == "commit" else "ok",)]
    assert one(stage.watch, "select count(*) from jobsdb.send_events") == 1


def test_a_card_that_is_taken_back_waits_for_the_worker_at_the_gate(stage: Stage) -> None:
    job = queued(stage.watch, "c1", org=stage.org)
    (held,) = claim(stage.watch)
    worker, tenant = stage.session("service_role"), stage.session()
    worker.begin()
    gate = worker.run("select verdict from begin_send(%s, %s)", [held["id"], held["lease_token"]])
    assert gate == [("ok",)]
    take = "update kanban_cards set state = 'in_review' where id = %s"
    step = tenant.start(take, [cards(stage.watch, job)["c1"]])
    assert step.waits()
    worker.end()
    assert step.outcome() == "JB003"
    assert settle(stage.watch, held) == "ok"
    stage.rest()


def test_of_two_who_claim_approve_or_decide_at_once_one_wins(stage: Stage) -> None:
    job = queued(stage.watch, "c1", org=stage.org)
    first, second = stage.session("service_role"), stage.session("service_role")
    first.begin()
    ((number, token),) = first.run("select id, lease_token from claim_sends('first')")
    step = second.start("select id from claim_sends('second')")
    assert step.ends()
    assert step.rows() == []
    first.end()
    first.begin()
    assert first.run("select verdict from begin_send(%s, %s)", [number, token]) == [("ok",)]
    step = second.start("select verdict from begin_send(%s, %s)", [number, token])
    assert step.waits()
    first.end()
    assert step.rows() == [("revoked",)]
    lose(stage.watch)
    tenant, late = stage.session(), stage.session("service_role")
    tenant.begin()
    assert tenant.run(RESOLVE, [number, "cancel", None]) == [("cancel",)]
    step = late.start("select settle_send(%s, %s, 'sent')", [number, token])
    assert step.waits()
    tenant.end()
    assert step.rows() == [("revoked",)]
    assert send_of(stage.watch, job)["state"] == "cancelled"
    stage.rest()


# ----------------------------------------------------------------------------------------- crowds

Connect = Callable[..., psycopg.Connection]


def workers(connect: Connect, count: int, work: Callable[[psycopg.Connection], Any]) -> list[Any]:
    """What workers with connections of their own have brought home, all begun at once."""
    ready = threading.Barrier(count)

    def run(conn: psycopg.Connection) -> Any:
        conn.execute("set role service_role")
        ready.wait()
        return work(conn)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, [connect() for _ in range(count)]))


def without_review(conn: psycopg.Connection, count: int, **changes: Any) -> UUID:
    people = [person(f"c{i}", f"c{i}@d{i % 7}.example") for i in range(count)]
    job = drafted(conn, *people, review_mode=False, batch_size=1000, **changes)
    assert sends(conn, job) == count
    return job


def test_six_claimers_at_once_are_handed_exactly_what_a_limit_allows(
    db: psycopg.Connection, connect: Connect
) -> None:
    without_review(db, 300)
    limit(db, 100, HOUR)
    limit(db, 40, HOUR, "domain", "d0.example")

    def work(conn: psycopg.Connection) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        idle = 0
        while idle < 30:
            claimed = rows(conn, CLAIM, 7)
            idle = 0 if claimed else idle + 1
            for send in claimed[::2]:
                gate = [send["id"], send["lease_token"]]
                assert one(conn, "select verdict from begin_send(%s, %s)", *gate) == "ok"
                assert one(conn, "select settle_send(%s, %s, 'sent')", *gate) == "ok"
            found += claimed
        return found

    handed = [send["id"] for found in workers(connect, 6, work) for send in found]
    assert len(handed) == len(set(handed)) == 100
    assert claim(db) == []
    limit(db, None, None)
    left = 40 - one(db, "select count(*) from jobsdb.sends where state <> 'queued'"
                        " and domain = 'd0.example'")  # fmt: skip
    domains = Counter(send["domain"] for send in claim(db, 1000))
    assert domains["d0.example"] == min(left, domains["d0.example"])
    assert domains.total() >= 300 - 100 - 43


def test_four_workers_send_everything_once(db: psycopg.Connection, connect: Connect) -> None:
    job = without_review(db, 400)
    sent: list[str] = []  # what the provider was asked; appending is atomic

    def work(conn: psycopg.Connection) -> list[int]:
        leased: list[int] = []
        while claimed := rows(conn, CLAIM, 9):
            leased += [send["id"] for send in claimed]
            for send in claimed:
                held = [send["id"], send["lease_token"]]
                gate = row(conn, "select * from begin_send(%s, %s)", *held)
                assert gate["verdict"] == "ok"
                sent.append(gate["recipient"])
                assert one(conn, "select settle_send(%s, %s, 'sent')", *held) == "ok"
        return leased

    shares = workers(connect, 4, work)
    leased = [send for share in shares for send in share]
    assert len(leased) == len(set(leased)) == 400
    assert Counter(sent) == Counter({f"c{i}@d{i % 7}.example": 1 for i in range(400)})
    assert all(shares)
    assert column(db, "select distinct state from jobsdb.sends") == ["sent"]
    tick(db)
    assert status_of(db, job) == "succeeded"
    world.check_counters(db)


class Died(Exception):
    """A worker is gone, and whatever it had in hand stays as it is."""


class Provider:
    """Knows what it was asked, and what it has really sent."""

    def __init__(self, knows_repeats: bool) -> None:
        self.knows_repeats = knows_repeats
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def send(self, key: str, recipient: str) -> None:
        self.asked[key] += 1
        if not (self.knows_repeats and self.asked[key] > 1):
            self.sent[recipient] += 1


@pytest.mark.parametrize("knows_repeats", [False, True])
def test_workers_that_die_anywhere_send_nothing_twice_and_lose_nothing_unsaid(
    db: psycopg.Connection, connect: Connect, seed: int, knows_repeats: bool
) -> None:
    count = 2000 if SOAK else 200
    without_review(db, count)
    choose, provider = random.Random(seed), Provider(knows_repeats)
    deaths: Counter[str] = Counter()
    in_doubt: set[int] = set()  # the gate was passed, and no outcome was told

    def may_die(where: str) -> None:
        if choose.random() < 0.02:
            deaths[where] += 1
            raise Died

    def work(conn: psycopg.Connection) -> bool:
        claimed = rows(conn, CLAIM, 10)
        may_die("after the claim")
        for send in claimed:
            with conn.transaction():
                values = (send["id"], send["lease_token"], knows_repeats)
                gate = row(conn, "select * from begin_send(%s, %s, %s)", *values)
                assert gate["verdict"] == "ok"
                may_die("before the gate is committed")
            in_doubt.add(send["id"])
            may_die("before the provider")
            provider.send(gate["idempotency_key"], gate["recipient"])
            may_die("after the provider")
            assert one(conn, "select settle_send(%s, %s, 'sent')", *values[:2]) == "ok"
            in_doubt.remove(send["id"])
        return bool(claimed)

    worker = connect()
    worker.execute("set role service_role")
    is_work = True
    while is_work:
        try:
            is_work = work(worker)
        except Died:
            end_leases(db)
    states: dict[int, str] = dict(db.execute("select id, state from jobsdb.sends").fetchall())
    reached = set(provider.sent)
    assert len(states) == count
    assert max(provider.sent.values()) == 1, "sent twice"
    assert deaths["before the provider"], deaths
    assert deaths["after the provider"], deaths
    unknown = {send for send, state in states.items() if state == "unknown"}
    assert set(states.values()) == {"sent"} | ({"unknown"} if unknown else set())
    if knows_repeats:
        assert unknown == in_doubt == set()
        assert len(reached) == count
        assert max(provider.asked.values()) > 1, "no repeat was tried"
    else:
        assert unknown == in_doubt
        listed = "select recipient from jobsdb.sends where state = 'unknown'"
        missed = set(column(db, "select recipient from jobsdb.sends")) - reached
        assert missed < set(column(db, listed))
        assert len(missed) == deaths["before the provider"]
    world.check_counters(db)
