"""Metrics: every number counted by hand, and what comes late; who sees what."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

import world
from helpers import as_anon, as_service, as_tenant
from stepping import WRONG, Stage, open_stage
from test_campaigns import add, campaign, person, plan
from test_races import CHANGES, JOB_MOVES
from test_sends import (
    MAIL,
    approve,
    begin,
    cards,
    claim,
    deliver,
    draft,
    later,
    lose,
    own_card,
    queued,
    send_of,
    settle,
)
from world import A, B, column, columns_of, move_card, new_card, new_job, new_task, one, row, rows

REFRESH = "select public.refresh_job_metrics()"


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


def metrics(conn: psycopg.Connection, view: str, job: UUID) -> dict[str, Any]:
    """The row of a job in one of the views, without the time of the data."""
    found = row(conn, f"select * from {view} where job_id = %s", job)
    del found["refreshed_at"]
    return found


def percentile(values: list[float], fraction: float) -> float:
    """What percentile_cont says."""
    values = sorted(values)
    place = fraction * (len(values) - 1)
    low, high = values[math.floor(place)], values[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


# ------------------------------------------------------------------- one campaign, counted by hand

GROUPS = {
    "sent": 7,
    "failed": 2,
    "unknown": 1,
    "suppressed": 4,
    "cancelled": 5,
    "dispatching": 1,
    "leased": 1,
    "queued": 1,
    "rejected": 1,
    "expired": 2,
    "waiting": 3,
}
IN_HAND = ("dispatching", "leased", "queued")
EDITED = ("sent3", "sent4", "failed1")
OTHER = "ann@elsewhere.example"
# Contact and touch of all that is sent.
SENT = [("sent1", "0"), ("sent1", "1"), ("sent2", "0"), ("sent2", "1")]
SENT += [(f"sent{n}", "0") for n in range(3, 8)]
SENT += [(OTHER, "other")]
# Which of them. No two events have the same number, so that no two can be mixed up.
EVENTS = {
    "complaint": [4],
    "bounce_hard": [5, 9],
    "reply": [2, 3, 6],
    "unsubscribe": [4, 5, 6, 7],
    "bounce_soft": [0, 1, 2, 3, 8],
    "click": [0, 1, 2, 3, 6, 7],
    "open_human": [0, 1, 2, 3, 4, 5, 6],
    "open_machine": [0, 1, 2, 3, 4, 5, 6, 7],
    "delivered": [0, 1, 2, 3, 4, 5, 6, 7, 8],
    "auto_reply": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
}
RUNS = [1.0, 2, 3, 4, 5, 60, 100.5]
WAITS = [10.0, 20, 30, 40, 50, 600, 7.25]
REVIEWED = 600, 1200, 90000  # seconds the cards sent, others, and expired have waited
OLDEST = "2025-01-02 03:04:05+00"


def let_wait(conn: psycopg.Connection, cards: list[Any], since: str) -> None:
    """Let cards have been in the review queue since a time."""
    conn.execute(
        f"update jobsdb.waiting_cards set since = {since} where card_id = any(%s)",
        [[str(card) for card in cards]],
    )


def hand_out(conn: psycopg.Connection, card: Any) -> dict[str, Any]:
    """The send of a card, approved, in the hands of a worker."""
    approve(conn, card)
    (send,) = claim(conn)
    return send


@pytest.fixture
def big(tx: psycopg.Connection) -> UUID:
    """A campaign with something of everything in it, paused; `expected` says what was done."""
    people = [f"{name}{n}" for name, count in GROUPS.items() for n in range(1, count + 1)]
    add(tx, *map(person, people), *(person(f"x{n}", None) for n in (1, 2, 3)))
    cadence = {"cadence": {"day0": True, "day4": True}, "budget": {"max_cost": 100}}
    templates = {"templates": {"intro": MAIL, "followup1": MAIL}}
    job = campaign(tx, A, "running", review_ttl=24, **cadence, **templates)
    draft(tx)
    of = cards(tx, job)
    assert of.keys() == set(people)
    for key, card in of.items():
        let_wait(tx, [card], f"clock_timestamp() - interval '{REVIEWED[key[:4] != 'sent']} s'")

    approve(tx, of["sent1"], of["sent2"])
    assert deliver(tx) == 2
    later(tx, 4)
    assert plan(tx, job) == 2
    draft(tx)
    approve(tx, cards(tx, job)["sent1"], cards(tx, job)["sent2"], own_card(tx, job))
    edit = """update kanban_cards set state = 'approved', content = content || '{"subject": "n"}'"""
    with as_tenant(tx, A):
        tx.execute(f"{edit} where id = any(%s)", [[of[key] for key in EDITED[:2]]])
    approve(tx, *(of[f"sent{n}"] for n in (5, 6, 7)))
    assert deliver(tx) == 8
    with as_tenant(tx, A):
        tx.execute(f"{edit} where id = %s", [of["failed1"]])
    approve(tx, of["failed2"])
    for send in claim(tx):
        begin(tx, send)
        settle(tx, send, "failed")
    begin(tx, hand_out(tx, of["unknown1"]))
    lose(tx)
    for n in range(1, 5):
        send = hand_out(tx, of[f"suppressed{n}"])
        tx.execute("select jobsdb.suppress(%s, 'address', %s, 'x')", [A, send["recipient"]])
        assert begin(tx, send)["verdict"] == "suppressed"
    for n in range(1, 6):
        approve(tx, of[f"cancelled{n}"])
        with as_tenant(tx, A):
            move_card(tx, of[f"cancelled{n}"], "rejected")
    begin(tx, hand_out(tx, of["dispatching1"]))
    hand_out(tx, of["leased1"])
    approve(tx, of["queued1"])
    with as_tenant(tx, A):
        move_card(tx, of["rejected1"], "rejected")
    expired = [of["expired1"], of["expired2"]]
    let_wait(tx, expired, f"clock_timestamp() - interval '{REVIEWED[2]} s'")
    assert one(tx, "select jobsdb.expire_cards()") == 2
    deals = [own_card(tx, job, type="create_deal", content={}) for _ in range(2)]
    approve(tx, own_card(tx, job, type="follow_up", content={}), *deals)
    for deal in deals:
        move_card(tx, deal, "done")
    own_card(tx, job, state="the host's own", content={})
    let_wait(tx, [of["waiting1"]], f"'{OLDEST}'")

    for number, (name, places) in enumerate(EVENTS.items()):
        for place in places:
            key, touch = SENT[place]
            found = "select id from jobsdb.sends where contact_key = %s and touch in (%s, %s)"
            card = one(tx, "select card_id from jobsdb.sends where contact_key = %s", OTHER)
            send = one(tx, found, key, touch, f"card:{card}")
            # Each comes twice; the first e-mail's come again under another id.
            ids = [f"{name} {place}", f"{name} {place}"] + [f"{name} again"] * (place == 0)
            call = "select record_send_event('p', %s, %s, send_id => %s)"
            told = [one(tx, call, event_id, name, send) for event_id in ids]
            assert told == ["ok", "known", "ok"][: len(ids)], number

    for status, kind, count in (
        ("done", "research", 3),
        ("error", "follow_up", 2),
        ("skipped", "check_portal", 5),
        ("running", "update_profile", 3),
        ("pending", "create_deal", 2),
    ):
        for _ in range(count):
            new_task(tx, job, status, batch=7, kind=kind)
    tx.execute("update job_tasks set retry_count = 2 where status = 'error'")
    tx.execute("update job_tasks set retry_count = 3, scheduled_for = created_at + interval '1 h'"
               " where id = (select max(id) from job_tasks where status = 'done')")  # fmt: skip
    done = column(tx, "select id from job_tasks where status = 'done' order by id")
    for task, run, wait in zip(done, RUNS, WAITS, strict=True):
        times = "greatest(created_at, scheduled_for) + make_interval(secs => {})"
        tx.execute(
            f"update job_tasks set started_at = {times.format(wait)},"
            f" finished_at = {times.format(wait + run)} where id = %s",
            [task],
        )
    for _ in range(2):
        assert one(tx, "select record_usage(%s, 12.5, 1000, 200)", job) == "ok"
    with as_tenant(tx, A):
        tx.execute("select pause_job(%s)", [job])
    return job


def expected(conn: psycopg.Connection, job: UUID, status: str) -> dict[str, Any]:
    """All metrics of the campaign, as they follow from what was done to it."""
    of_job = row(conn, "select created_at, started_at, finished_at from jobs where id = %s", job)
    found = "select dispatched_at, contact_key from jobsdb.sends where contact_key = any(%s)"
    went_out = conn.execute(found, [[key for key, _ in SENT]]).fetchall()
    assert len(went_out) == len(SENT)
    is_open = status == "running"

    facts: dict[str, Counter[str]] = defaultdict(Counter)
    for name in ("failed", "unknown", "suppressed", "cancelled"):
        facts["0"][name] = GROUPS[name]
    facts["0"]["queued"] = 3 if is_open else 2
    facts["0"]["cancelled"] += not is_open
    for _, touch in SENT:
        facts[touch]["sent"] += 1
    for name, places in EVENTS.items():
        for place in places:
            facts[SENT[place][1]][name] += 1
    by_touch = {touch: dict(counts) for touch, counts in facts.items()}
    templates = {"0": "intro", "1": "followup1", "other": "other"}
    tasks = [
        ("draft_email", "done", 4),
        ("send_email", "pending", 4),
        ("research", "done", 3),
        ("follow_up", "error", 2),
        ("check_portal", "skipped", 5),
        ("update_profile", "running", 3),
        ("create_deal", "pending", 2),
    ]
    if not is_open:
        ended = {"pending": "skipped", "running": "skipped"}
        tasks = [(kind, ended.get(state, state), n) for kind, state, n in tasks]
    number: Counter[str] = Counter()
    for _, state, n in tasks:
        number[state] += n
    sums: Counter[str] = sum(facts.values(), Counter())
    assert sorted(sums[name] for name in EVENTS) == list(range(1, 11))
    reviewed = [0.0] * 6 + [600.0] * 7 + [1200.0] * 16 + [90000.0] * 2
    rate = 1 / len(SENT)
    return {
        "job_id": job,
        "org_id": A,
        "name": "a campaign",
        "status": status,
        "paused": is_open,
        **of_job,
        "tasks_total": 23,
        "tasks_pending": number["pending"],
        "tasks_running": number["running"],
        "tasks_completed": 7,
        "tasks_failed": 2,
        "tasks_skipped": number["skipped"],
        "task_completion_rate": 7 / 23,
        "retry_total": 2 + 2 + 3,
        "by_kind": {kind: {state: n} for kind, state, n in tasks},
        "max_batch": 7,
        "task_seconds_p50": percentile(RUNS, 0.5),
        "task_seconds_p90": percentile(RUNS, 0.9),
        "task_seconds_p95": percentile(RUNS, 0.95),
        "task_seconds_max": 100.5,
        "queue_seconds_p50": percentile(WAITS, 0.5),
        "queue_seconds_p95": percentile(WAITS, 0.95),
        "cards_total": 35,
        "cards_in_review": 3,
        "cards_approved": 11,  # failed 2, unknown 1, suppressed 4, in hand 3, follow_up 1
        "cards_rejected": 8,  # cancelled 5, rejected 1, expired 2
        "cards_done": 12,  # sent 10, create_deal 2
        "cards_other": 1,
        "cards_by_type": {
            "draft_email": {"in_review": 3, "approved": 10, "rejected": 8, "done": 9},
            "send_email": {"done": 1, "the host's own": 1},
            "create_deal": {"done": 2},
            "follow_up": {"approved": 1},
        },
        "approval_rate": 23 / 31,
        "emails_drafted": 32,
        "emails_sent": 10,
        "cards_expired": 2,
        "edit_rate": 3 / 28,  # sent 10, failed 2, unknown 1, suppressed 4, cancelled 5, 3, deals 3
        "review_seconds_p50": percentile(reviewed, 0.5),
        "review_seconds_p95": percentile(reviewed, 0.95),
        "oldest_in_review": one(conn, "select %s::timestamptz", OLDEST),
        "emails_queued": facts["0"]["queued"],
        "emails_failed": 2,
        "emails_unknown": 1,
        "emails_suppressed": 4,
        "emails_cancelled": facts["0"]["cancelled"],
        "emails_delivered": 9,
        "emails_bounced_hard": 2,
        "emails_bounced_soft": 5,
        "emails_complained": 1,
        "emails_replied": 3,
        "emails_unsubscribed": 4,
        "emails_opened_human": 7,
        "emails_opened_machine": 8,
        "emails_clicked": 6,
        "delivery_rate": 9 * rate,
        "bounce_rate": 2 * rate,
        "complaint_rate": rate,
        "reply_rate": 3 * rate,
        "unsubscribe_rate": 4 * rate,
        "open_rate": 7 * rate,
        "click_rate": 6 * rate,
        "by_touch": by_touch,
        "by_template": {templates[touch]: counts for touch, counts in by_touch.items()},
        "first_send_at": min(went_out)[0],
        "last_send_at": max(went_out)[0],
        "contacts_enrolled": 31,
        "contacts_excluded": 3,
        "contacts_active": 8,  # sent7, unknown 1, in hand 3, waiting 3
        "contacts_finished": 1,  # sent1
        "contacts_stopped": 19,  # sent2 to 6, failed 2, suppressed 4, cancelled 5, rejected 8 - 5
        "contacts_replied": 2,  # sent2 and sent5
        "next_due_at": next(at for at, key in went_out if key == "sent7") + timedelta(days=4),
        "tokens_in": 2000,
        "tokens_out": 400,
        "cost": 25,
        "budget_left": 75,
    }


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is shown and what it should be, where they differ."""
    assert found.keys() == wanted.keys()
    wrong = {}
    for name, value in wanted.items():
        seen = found[name]
        if name.endswith("_rate"):
            same = float(seen) == round(value, 4)
        elif name.startswith("review_seconds"):
            same = seen == pytest.approx(value, abs=60)  # the clock goes on meanwhile
        elif isinstance(value, float):
            same = seen == pytest.approx(value, abs=1e-6)
        else:
            same = (seen == value and type(seen) is not bool) or seen is value
        if not same:
            wrong[name] = seen, value
    return wrong


def test_every_number_of_a_campaign_is_what_was_done(tx: psycopg.Connection, big: UUID) -> None:
    tested: set[str] = set()
    for status in ("running", "cancelled"):
        if status == "cancelled":
            tx.execute("select cancel_job(%s)", [big])
        wanted = expected(tx, big, status)
        assert differences(metrics(tx, "job_metrics_live", big), wanted) == {}
        now = one(tx, REFRESH)
        assert differences(metrics(tx, "job_metrics", big), wanted) == {}
        assert differences(metrics(tx, "job_metrics_live", big), wanted) == {}
        with as_tenant(tx, A):
            assert metrics(tx, "job_metrics", big) == metrics(tx, "job_metrics_live", big)
            (of_org,) = rows(tx, "select * from get_job_metrics_for_org(%s)", A)
            assert differences(
                {name: value for name, value in of_org.items() if name != "refreshed_at"}, wanted
            ) == {}  # fmt: skip
        for view in ("job_metrics", "job_metrics_live"):
            assert one(tx, f"select refreshed_at from {view}") == now == one(tx, "select now()")
        assert tx.execute(WRONG).fetchall() == []
        tested |= {name for name, value in wanted.items() if value}
    frozen = one(tx, "select to_jsonb(f) from jobsdb.frozen_job_metrics f where job_id = %s", big)
    assert frozen["cards_done"] == 12
    # No column is left out, nor only ever empty.
    for table in ("jobsdb.frozen_job_metrics", "job_metrics", "job_metrics_live"):
        assert set(columns_of(tx, table)) == tested | {"refreshed_at"}


# ---------------------------------------------------------------------- what is easily got wrong


def live(conn: psycopg.Connection, job: UUID, *names: str) -> tuple[Any, ...]:
    found = metrics(conn, "job_metrics_live", job)
    return tuple(found[name] for name in names)


@pytest.mark.parametrize("params", [{}, {"budget": {"max_tokens": 10}}])
def test_without_a_cost_to_keep_to_nothing_is_left_of_it(
    tx: psycopg.Connection, params: dict[str, Any]
) -> None:
    job = new_job(tx, **params)
    assert live(tx, job, "cost", "budget_left") == (0, None)


def test_of_a_budget_that_was_exceeded_nothing_is_left(tx: psycopg.Connection) -> None:
    job = new_job(tx, budget={"max_cost": 10})
    assert live(tx, job, "budget_left") == (10,)
    tx.execute("select record_usage(%s, 12.5)", [job])
    assert live(tx, job, "cost", "budget_left") == (12.5, 0)


def test_an_approval_with_new_words_is_an_edit_whatever_function_gives_it(
    tx: psycopg.Connection,
) -> None:
    job = new_job(tx)
    edited, plain = new_card(tx, job), new_card(tx, job)
    with as_tenant(tx, A):
        words = Jsonb({"to": "contact@example.com", "subject": "other", "body": "words"})
        call = "select review_card(%s, 'approve', content => %s)"
        assert one(tx, call, str(edited), words) == "ok"
        assert one(tx, "select review_card(%s, 'approve')", str(plain)) == "ok"
    assert live(tx, job, "cards_approved", "edit_rate") == (2, 0.5)


def test_nothing_happens_to_more_e_mails_than_were_sent(tx: psycopg.Connection) -> None:
    """Nobody knows of the second whether it went out; its provider reports it as delivered."""
    job = queued(tx, "c1", "c2")
    first, second = claim(tx)
    begin(tx, first)
    settle(tx, first)
    begin(tx, second)
    lose(tx)
    for send in (first, second):
        tx.execute("select record_send_event('p', %s, 'delivered', send_id => %s)",
                   [str(send["id"]), send["id"]])  # fmt: skip
    assert live(tx, job, "emails_sent", "emails_unknown", "delivery_rate") == (1, 1, 1)


def test_pruning_leaves_every_count_true(tx: psycopg.Connection) -> None:
    job = queued(tx, "c1")
    deliver(tx)
    for event in ("delivered", "open_machine", "open_human"):
        tx.execute("select record_send_event('p', %s, %s, send_id => %s)",
                   [event, event, send_of(tx, job)["id"]])  # fmt: skip
    tx.execute(
        "update jobsdb.send_events"
        " set recorded_at = now() - interval '1 year', detail = '{\"a\": 1}'"
    )
    before = metrics(tx, "job_metrics_live", job)
    assert one(tx, "select jobsdb.prune_history(interval '1 month')") > 0
    assert metrics(tx, "job_metrics_live", job) == before


# ------------------------------------------------------------------------------- late changes


LATE_KEYS = ("sent", "dispatching", "leased", "unknown", "lost")
LATE: dict[str, Callable[[psycopg.Connection, UUID, dict[str, Any]], object]] = {
    "an event": lambda conn, job, sends: conn.execute(
        "select record_send_event('p', 'e', 'delivered', send_id => %s)", [sends["sent"]["id"]]
    ),
    "a reply": lambda conn, job, sends: conn.execute(
        "select record_send_event('p', 'e', 'reply', send_id => %s)", [sends["sent"]["id"]]
    ),
    "an e-mail was sent": lambda conn, job, sends: settle(conn, sends["dispatching"]),
    "an e-mail has failed": lambda conn, job, sends: settle(conn, sends["dispatching"], "failed"),
    "an e-mail is turned away": lambda conn, job, sends: begin(conn, sends["leased"]),
    "a worker was lost": lambda conn, job, sends: lose(conn),
    "a person decides": lambda conn, job, sends: conn.execute(
        "select resolve_unknown(%s, 'cancel', %s)", [sends["unknown"]["id"], A]
    ),
    "a contact is erased": lambda conn, job, sends: conn.execute(
        "select erase_contact(%s, 'sent')", [A]
    ),
    "usage": lambda conn, job, sends: conn.execute("select record_usage(%s, 5, 6, 7)", [job]),
    "another budget": lambda conn, job, sends: conn.execute(
        "update jobs set params = params || %s where id = %s",
        [Jsonb({"budget": {"max_cost": 99}}), job],
    ),
    "a card is rejected": lambda conn, job, sends: conn.execute(
        "update kanban_cards set state = 'rejected' where job_id = %s and state = 'in_review'",
        [job],
    ),
    "retries": lambda conn, job, sends: conn.execute(
        "update job_tasks set retry_count = 5 where job_id = %s and status = 'done'", [job]
    ),
    "times": lambda conn, job, sends: conn.execute(
        "update job_tasks set finished_at = started_at + interval '1 h'"
        " where job_id = %s and status = 'done'",
        [job],
    ),
    "a task is deleted": lambda conn, job, sends: conn.execute(
        "delete from job_tasks where job_id = %s and status = 'done'", [job]
    ),
    "another name": lambda conn, job, sends: conn.execute(
        "update jobs set name = 'another' where id = %s", [job]
    ),
}


@pytest.mark.parametrize(
    "name",
    LATE,
)
def test_what_comes_after_the_end_of_a_job_is_in_its_metrics_at_the_next_refresh(
    tx: psycopg.Connection, name: str
) -> None:
    job = queued(tx, *LATE_KEYS, budget={"max_cost": 10})
    new_card(tx, job)
    sends = {send["recipient"].partition("@")[0]: send for send in claim(tx)}
    assert sends.keys() == set(LATE_KEYS)
    for key in LATE_KEYS:
        if key != "leased":
            begin(tx, sends[key])
    settle(tx, sends["sent"])
    tx.execute(
        "update jobsdb.sends set state = 'unknown', lease_expires_at = null where id = %s",
        [sends["unknown"]["id"]],
    )
    tx.execute("select cancel_job(%s)", [job])
    tx.execute(REFRESH)
    before = metrics(tx, "job_metrics", job)
    assert metrics(tx, "job_metrics_live", job) == before
    LATE[name](tx, job, sends)
    now = metrics(tx, "job_metrics_live", job)
    assert now != before, "it must change something"
    tx.execute(REFRESH)
    assert metrics(tx, "job_metrics", job) == now


def test_e_mails_cancelled_long_after_their_job_are_no_longer_queued(
    tx: psycopg.Connection,
) -> None:
    """At the end of a job a thousand are cancelled at once, the rest when somebody has time."""
    job = new_job(tx, review_mode=False)
    tx.execute(
        "insert into kanban_cards (org_id, job_id, type, title, state, content)"
        " select %s, %s, 'send_email', 't', 'approved',"
        "  jsonb_build_object('to', n || '@example.com', 'subject', 's', 'body', 'b')"
        " from generate_series(1, 1003) n",
        [A, job],
    )
    tx.execute("select cancel_job(%s)", [job])
    tx.execute(REFRESH)
    assert metrics(tx, "job_metrics", job)["emails_queued"] == 3
    tx.execute("select jobsdb.rescue_sends()")
    tx.execute(REFRESH)
    assert metrics(tx, "job_metrics", job)["emails_queued"] == 0


def test_a_completion_after_the_end_of_its_job_is_in_the_metrics(stage: Stage) -> None:
    names = stage.job()
    agent, person_ = stage.session("service_role"), stage.session()
    agent.begin("repeatable read")
    agent.run(CHANGES["complete"], names)
    person_.run(JOB_MOVES["cancel"], names)
    agent.stage.watch.execute(REFRESH)
    frozen = "select tasks_completed, by_kind from public.job_metrics where job_id = %(job)s"
    counted = {"done": 1, "error": 1, "skipped": 4}
    assert stage.watch.execute(frozen, names).fetchone() == (1, {"research": counted})
    assert agent.end() == "ok"
    stage.rest()
    counted = {"done": 2, "error": 1, "skipped": 3}
    assert stage.watch.execute(frozen, names).fetchone() == (2, {"research": counted})


# ---------------------------------------------------------------------------------- the summary

LARGEST = ("last_send_at", "refreshed_at")
SMALLEST = ("oldest_in_review", "first_send_at", "next_due_at")
RATES = {
    "task_completion_rate": (["tasks_completed"], ["tasks_total"]),
    "approval_rate": (
        ["cards_approved", "cards_done"],
        ["cards_approved", "cards_done", "cards_rejected"],
    ),
    "delivery_rate": (["emails_delivered"], ["emails_sent"]),
    "bounce_rate": (["emails_bounced_hard"], ["emails_sent"]),
    "complaint_rate": (["emails_complained"], ["emails_sent"]),
    "reply_rate": (["emails_replied"], ["emails_sent"]),
    "unsubscribe_rate": (["emails_unsubscribed"], ["emails_sent"]),
    "open_rate": (["emails_opened_human"], ["emails_sent"]),
    "click_rate": (["emails_clicked"], ["emails_sent"]),
}


def test_the_summary_of_an_organisation_sums_counts_and_divides_sums(
    tx: psycopg.Connection, big: UUID
) -> None:
    small = campaign(tx, A, "running", target_group=None, name="small")
    approve(tx, own_card(tx, small, content={"to": "x@example.com", "subject": "s"}))
    new_task(tx, small, "done")
    tx.execute("select resume_job(%s)", [big])
    assert deliver(tx) == 2, "also the one of the big job that was queued"
    for event in ("delivered", "reply", "click", "open_human", "bounce_hard"):
        send = one(tx, "select id from jobsdb.sends where job_id = %s", small)
        tx.execute("select record_send_event('p', %s, %s, send_id => %s)", [event, event, send])
    tx.execute("select record_usage(%s, 1, 2, 3)", [small])
    for status in world.WAY_OF_A_JOB:
        new_task(tx, new_job(tx, A, "pending"), "skipped")
        new_job(tx, A, status)
    foreign = new_job(tx, B)
    new_task(tx, foreign, "done")
    tx.execute(REFRESH)
    of_jobs = rows(tx, "select * from job_metrics where org_id = %s", A)
    with as_tenant(tx, A):
        (found,) = rows(tx, "select * from job_performance_summary")

    wanted: dict[str, Any] = {"org_id": A, "jobs_total": 12}
    for status, count in Counter(job["status"] for job in of_jobs).items():
        wanted[f"jobs_{status}"] = count
    for name in set(found) - set(wanted):
        if name in RATES:
            part, whole = (sum(job[n] for n in names for job in of_jobs) for names in RATES[name])
            wanted[name] = round(part / whole, 4)
            averages = [float(job[name]) for job in of_jobs if job[name] is not None]
            assert wanted[name] != round(sum(averages) / len(averages), 4), "or it tests nothing"
        elif name in LARGEST + SMALLEST:
            times = [job[name] for job in of_jobs if job[name]]
            wanted[name] = (max if name in LARGEST else min)(times)
        else:
            wanted[name] = sum(job[name] for job in of_jobs)
    assert all(wanted.values())
    assert {name: float(v) if name in RATES else v for name, v in found.items()} == wanted
    assert (found["emails_sent"], found["tasks_completed"], found["cost"]) == (12, 8, 26)

    with as_tenant(tx, B):
        (found,) = rows(tx, "select * from job_performance_summary")
    assert (found["org_id"], found["jobs_total"], found["tasks_completed"]) == (B, 1, 1)
    assert (found["emails_sent"], found["delivery_rate"]) == (0, None)
    with as_service(tx):
        assert set(column(tx, "select org_id from job_performance_summary")) == {A, B}
    with as_anon(tx):
        assert world.outcome(tx, "select * from job_performance_summary") == "42501"


# --------------------------------------------------------------------------------- who sees what


@pytest.mark.parametrize("table", ["task_moves", "task_rollups"])
@pytest.mark.parametrize("who", [as_anon, lambda conn: as_tenant(conn, A), as_service])
def test_sums_are_nobodys_to_read_or_write(tx: psycopg.Connection, table: str, who: Any) -> None:
    new_task(tx, new_job(tx), "done")
    tx.execute(REFRESH)
    for statement in (
        "select from jobsdb.{}",
        "insert into jobsdb.{} (job_id, org_id) values (gen_random_uuid(), gen_random_uuid())",
        "update jobsdb.{} set retries = 9",
        "delete from jobsdb.{}",
        "truncate jobsdb.{}",
        "lock table jobsdb.{}",
    ):
        with who(tx):
            assert world.outcome(tx, statement.format(table)) == "42501", statement
    with who(tx):
        call = "select jobsdb.rollup_of('00000000-0000-0000-0000-000000000000')"
        assert world.outcome(tx, call) == "42501"


def test_recent_activity_says_what_happened_newest_first_and_who_did_it(
    tx: psycopg.Connection,
) -> None:
    foreign = new_job(tx, B, "pending", name="theirs")
    with as_tenant(tx, B):
        world.move_job(tx, foreign, "running")
    job = new_job(tx, A, "pending", name="ours")
    with as_tenant(tx, A):
        world.move_job(tx, job, "running")
    card = new_card(tx, job)
    free = new_card(tx, None)
    with as_tenant(tx, A):
        move_card(tx, card, "approved")
        move_card(tx, free, "rejected")
    with as_service(tx):
        move_card(tx, card, "done")
        tx.execute("select cancel_job(%s)", [job])
    told = [
        ("job", str(job), "job running → cancelled", "service_role"),
        ("card", str(card), "card approved → done", "service_role"),
        ("card", str(card), "card in_review → approved", str(A)),
        ("job", str(job), "job pending → running", str(A)),
    ]
    with as_tenant(tx, A):
        found = rows(tx, "select * from recent_job_activity")
    assert [(e["entity"], e["entity_id"], e["what"], e["who"]) for e in found] == told
    assert {(e["org_id"], e["job_id"], e["job_name"]) for e in found} == {(A, job, "ours")}
    times = [e["happened_at"] for e in found]
    assert times == sorted(times, reverse=True)
    with as_tenant(tx, B):
        found = rows(tx, "select * from recent_job_activity")
    assert [(e["job_name"], e["what"], e["who"]) for e in found] == [
        ("theirs", "job pending → running", str(B))
    ]
    with as_service(tx):
        assert one(tx, "select count(*) from recent_job_activity") == 5
    with as_anon(tx):
        assert world.outcome(tx, "select * from recent_job_activity") == "42501"


@pytest.mark.parametrize("view", ["job_metrics", "job_metrics_live"])
@pytest.mark.parametrize(
    "condition", ["job_id = %(job)s", "job_id = any(array[%(job)s])", "org_id = %(other)s"]
)
def test_who_asks_for_one_job_measures_no_other(
    tx: psycopg.Connection, view: str, condition: str
) -> None:
    jobs = [new_job(tx, org) for org in (A, A, A, B)]
    tx.execute("select refresh_job_metrics()")
    tx.execute("analyze public.jobs")
    query = f"select * from public.{view} where {condition}"
    names = {"job": jobs[1], "other": B}

    def measured() -> float:
        explained = tx.execute(
            f"explain (analyze, timing off, format json) {query}", names
        ).fetchall()[0][0]
        nodes = [explained[0]["Plan"]]
        for node in nodes:
            nodes += node.get("Plans", [])
        return sum(n["Actual Loops"] for n in nodes if n["Node Type"] == "Function Scan")

    assert measured() == 1, "or its owner waits for all"
    with as_tenant(tx, A):
        assert measured() == (0 if "other" in condition else 1)
