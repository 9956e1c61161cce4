"""The review queue and the decisions taken on it: who decides, on exactly what, and who cannot."""

import itertools
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

import world
from helpers import as_anon, as_role, as_service, as_tenant, new_database, refused
from jobsdb.local import Server
from stepping import Stage, open_stage
from test_host_tables import BIGINT_ID, CHANGES, ENUM, HOST_TRIGGER, JSON, PLAIN, RUNS
from world import MODES, UNKNOWN, A, B, column, one, row, rows

MEMBER = UUID("dddddddd-0000-4000-8000-000000000004")
STRANGER = UUID("cccccccc-0000-4000-8000-000000000003")
STATES = ("in_review", "todo", "approved", "rejected", "done")
WAITING = ("in_review", "todo")
INTRO = {"subject": "Hello {{first_name}}", "body": "<p>{{first_name}} of {{company|us}}</p>"}
REVIEW = "select * from review_cards(%(ids)s, %(hashes)s, %(decision)s, %(reviewer)s, %(comment)s)"
DRAFT = "select draft_cards(%s, %s)"
CLAIM = "select id, lease_token from claim_tasks('w', 1, %s)"
IDENTITY = "select auth.uid(), coalesce(current_setting('request.jwt.claim.sub', true), '')"
NO_IDS = ["", " ", "x", "null", "'; drop table jobs; --", '{"a":1}', "\u6f22", "k" * 100_000, None]


@pytest.fixture(autouse=True, scope="module")
def _member(module_db: psycopg.Connection) -> None:
    module_db.execute("select jobsdb.add_org_member(%s, %s)", [MEMBER, A])


@pytest.fixture
def tx(module_db: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection in a transaction that is rolled back; queue and counters are true before."""
    with module_db.transaction(force_rollback=True):
        yield module_db
        check_queue(module_db)
        world.check_counters(module_db)


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


def person(key: str, **attributes: Any) -> dict[str, Any]:
    email = f"{key}@example.com"
    return {"contact_key": key, "email": email, "groups": ["AMC"], "attributes": attributes}


def campaign(conn: psycopg.Connection, *people: Any, org: UUID = A, **params: Any) -> UUID:
    """A running job whose batch 0 is planned for these contacts."""
    usual = {"target_group": "AMC", "cadence": {"day0": True}, "templates": {"intro": INTRO}}
    given = {key: value for key, value in {**usual, **params}.items() if value is not None}
    with as_tenant(conn, org):
        conn.execute("select upsert_contacts(%s)", [Jsonb(people)])
        payload = Jsonb({"name": "a campaign", "params": given})
        job = one(conn, "select id from create_job(%s)", payload)
    world.move_job(conn, job, "running")
    return job


def claim(conn: psycopg.Connection, kind: str = "draft_email") -> tuple[int, UUID]:
    with as_service(conn):
        return conn.execute(CLAIM, [[kind]]).fetchone()


def draft(conn: psycopg.Connection, *lease: object) -> int:
    with as_service(conn):
        return one(conn, DRAFT, *(lease or claim(conn)))


def drafted(conn: psycopg.Connection, *people: Any, **params: Any) -> tuple[UUID, list[Any]]:
    """A job and its cards, in order of the contacts."""
    job = campaign(conn, *people, **params)
    assert draft(conn) == len(people)
    return job, [card["id"] for card in cards_of(conn, job)]


def cards_of(conn: psycopg.Connection, job: UUID) -> list[dict[str, Any]]:
    return rows(
        conn,
        "select * from kanban_cards where job_id = %s order by content::jsonb ->> 'contact_id'",
        job,
    )


def card(conn: psycopg.Connection, card_id: object) -> dict[str, Any]:
    return row(conn, "select * from kanban_cards where id = %s", card_id)


def hash_of(conn: psycopg.Connection, card_id: object) -> str:
    return one(
        conn, "select jobsdb.card_hash(to_jsonb(c.*)) from kanban_cards c where id = %s", card_id
    )


def queue(conn: psycopg.Connection) -> list[Any]:
    return column(conn, "select card_id from review_queue order by since")


def decide(
    conn: psycopg.Connection, decision: str, *ids: object, shown: Any = None, **more: Any
) -> dict[str | None, str]:
    """The outcomes of a decision about what the queue shows, or about what was shown before."""
    read = "select content_hash from review_queue where card_id = %s"
    texts = [None if card_id is None else str(card_id) for card_id in ids]
    hashes = [one(conn, read, text) or "" for text in texts] if shown is None else shown
    given = {"reviewer": None, "comment": None, **more}
    found = conn.execute(REVIEW, {"ids": texts, "hashes": hashes, "decision": decision, **given})
    return dict(found.fetchall())


def review(
    conn: psycopg.Connection, card_id: object, decision: str | None = "approve", **more: Any
) -> str:
    text = None if card_id is None else str(card_id)
    given = {"card_id": text, "decision": decision, **more}
    call = ", ".join(f"{name} => %({name})s" for name in given)
    return conn.execute(f"select review_card({call})", given).fetchone()[0]


def reviews(conn: psycopg.Connection, card_id: object) -> list[tuple[Any, ...]]:
    """Every decision about a card: what, by whom, as which role, on which content, and why."""
    return conn.execute(
        "select decision, reviewer, reviewer_role, content_hash, comment"
        " from jobsdb.card_reviews where card_id = %s order by id",
        [str(card_id)],
    ).fetchall()


def contact(conn: psycopg.Connection, job: UUID, key: str) -> tuple[str, str | None]:
    return conn.execute(
        "select state, reason from jobsdb.job_contacts where job_id = %s and contact_key = %s",
        [job, key],
    ).fetchone()


def going_out(conn: psycopg.Connection, job: UUID) -> list[tuple[str, str]]:
    """Recipient and subject of every e-mail of a job a worker would get now."""
    with conn.transaction(force_rollback=True), as_service(conn):
        return conn.execute(
            "select recipient, subject from claim_sends('w', 100) where job_id = %s order by 1, 2",
            [job],
        ).fetchall()


def check_queue(conn: psycopg.Connection) -> None:
    """What is noted as waiting equals a recount of the cards."""
    listed = conn.execute("select card_id, org_id, job_id from jobsdb.waiting_cards order by 1")
    recount = conn.execute(
        "select id::text, org_id, job_id from kanban_cards where job_id is not null"
        " and state::text not in ('approved', 'rejected', 'done') order by 1"
    )
    assert listed.fetchall() == recount.fetchall()


# ------------------------------------------------------------------------------------------ queue


def test_the_queue_shows_linked_cards_that_wait_the_oldest_first(tx: psycopg.Connection) -> None:
    job, other = world.new_job(tx, name="first"), world.new_job(tx, name="second")
    task = world.new_task(tx, job)
    made = [(state, world.new_card(tx, each, state)) for state in STATES for each in (job, other)]
    for state in STATES:
        world.new_card(tx, None, state)
    last = world.new_card(tx, job, task=task)
    torn = Jsonb({"missing": ["x"]})
    tx.execute("update kanban_cards set content = content || %s where id = %s", [torn, last])
    expected = [str(made_card) for state, made_card in made if state in WAITING] + [str(last)]
    with as_tenant(tx, A):
        found = rows(tx, "select * from review_queue order by since")
        read = "select id::text, type, title, content, job_id, org_id, task_id from kanban_cards"
        shown = {each.pop("id"): each for each in rows(tx, read)}
    assert [each["card_id"] for each in found] == expected
    assert [each["job_name"] for each in found] == ["first", "second"] * 2 + ["first"]
    for each in found:
        assert shown[each["card_id"]].items() <= each.items()
        assert each["content_hash"] == hash_of(tx, each["card_id"])
        assert each["missing"] == (["x"] if each["card_id"] == str(last) else [])
    assert found[-1]["task_id"] == task


def test_a_card_that_is_edited_keeps_its_place_and_one_that_comes_back_joins_at_the_end(
    tx: psycopg.Connection,
) -> None:
    job = world.new_job(tx)
    first, second, third = (world.new_card(tx, job) for _ in range(3))
    before = hash_of(tx, first)
    tx.execute("update kanban_cards set content = '{}', state = 'todo' where id = %s", [first])
    assert queue(tx) == [str(first), str(second), str(third)]
    assert one(tx, "select content_hash from review_queue limit 1") == hash_of(tx, first) != before
    for state in ("approved", "in_review"):
        world.move_card(tx, first, state)
    assert queue(tx) == [str(second), str(third), str(first)]


FOLLOWS = {
    "update kanban_cards set state = 'approved' where id = %(card)s": set(),
    "update kanban_cards set state = 'rejected' where id = %(card)s": set(),
    "update kanban_cards set state = 'in_review' where id = %(rejected)s": {"card", "rejected"},
    "update kanban_cards set state = 'whatever' where id = %(card)s": {"card"},
    "update kanban_cards set job_id = null where id = %(card)s": set(),
    "update kanban_cards set job_id = %(job)s where id = %(free)s": {"card", "free"},
    "update kanban_cards set task_id = %(task)s where id = %(free)s": {"card", "free"},
    "update kanban_cards set job_id = %(other)s where id = %(card)s": {"card"},
    "update kanban_cards set id = %(new)s where id = %(card)s": {"new"},
    "update kanban_cards set job_id = %(job)s where job_id is null": {"card", "free"},
    "insert into kanban_cards (id, org_id, job_id, type) values (%(new)s, %(org)s, %(job)s, 'x')": {
        "card",
        "new",
    },
    "insert into kanban_cards (id, org_id, job_id, type) values (%(card)s, %(org)s, %(job)s, 'x')"
    " on conflict (id) do update set state = 'rejected'": set(),
    "merge into kanban_cards c using (values (%(card)s), (%(new)s)) as s (id) on c.id = s.id"
    " when matched then delete"
    " when not matched then insert (id, org_id, job_id, type) values (s.id, %(org)s, %(job)s, 'x')":
    {"new"},
    "with gone as (delete from kanban_cards where id = %(card)s returning job_id) insert into"
    " kanban_cards (id, org_id, job_id, type) select %(new)s, %(org)s, job_id, 'x' from gone": {
        "new"
    },
    "delete from kanban_cards where id = %(card)s": set(),
    "delete from jobs where id = %(job)s": set(),
    "delete from job_tasks where job_id = %(job)s": {"card"},
    "truncate kanban_cards": set(),
}  # fmt: skip


@pytest.mark.parametrize("statement", FOLLOWS)
def test_the_queue_follows_every_statement(tx: psycopg.Connection, statement: str) -> None:
    names: dict[str, Any] = {"job": world.new_job(tx), "other": world.new_job(tx), "org": A}
    names["task"] = world.new_task(tx, names["job"])
    names |= {
        "card": world.new_card(tx, names["job"], task=None),
        "rejected": world.new_card(tx, names["job"], "rejected"),
        "free": world.new_card(tx, None),
        "new": UNKNOWN,
    }
    tx.execute(statement, names)
    assert set(queue(tx)) == {str(names[name]) for name in FOLLOWS[statement]}
    check_queue(tx)


def test_everybody_sees_the_cards_of_his_own_organisations_only(tx: psycopg.Connection) -> None:
    mine = world.new_card(tx, world.new_job(tx))
    theirs = world.new_card(tx, world.new_job(tx, B), org=B)
    everything = [str(mine), str(theirs)]
    for who, sees in (
        (as_tenant(tx, A), [str(mine)]),
        (as_tenant(tx, B), [str(theirs)]),
        (as_tenant(tx, MEMBER), [str(mine)]),
        (as_tenant(tx, STRANGER), []),
        (world.as_nobody(tx), []),
        (as_service(tx), everything),
    ):
        with who:
            assert queue(tx) == sees
            named = "select card_id from review_queue where card_id = any(%s) order by since"
            assert column(tx, named, everything) == sees
    for statement in (
        "select * from review_queue",
        "select review_card('x', 'approve')",
        "select * from review_cards('{}', '{}', 'approve')",
        "select draft_cards(1, null)",
    ):
        with as_anon(tx), refused(tx, "42501", "permission denied"):
            tx.execute(statement)
    for who in (as_tenant(tx, A), as_service(tx)):
        with who, refused(tx, "42501"):
            tx.execute("delete from jobsdb.waiting_cards")


RANDOM = {
    "insert into kanban_cards (org_id, job_id, type, state)"
    " select org_id, id, 'x', %(new)s from jobs where id = any(%(jobs)s)": 3,
    "insert into kanban_cards (org_id, type, state) values (%(org)s, 'x', %(state)s)": 1,
    "update kanban_cards set state = %(state)s where id = any(%(cards)s)": 8,
    "update kanban_cards set job_id = %(job)s where id = any(%(cards)s)": 3,
    "update kanban_cards set job_id = null where id = any(%(cards)s)": 1,
    "update kanban_cards set job_id = null, state = %(state)s where id = any(%(cards)s)": 1,
    "update kanban_cards set content = jsonb_build_object('n', random()) where true": 1,
    "update kanban_cards set content = '{}', state = %(state)s where id = any(%(cards)s)": 2,
    "delete from kanban_cards where id = any(%(cards)s)": 1,
    "delete from jobs where id = %(job)s": 1,
    "merge into kanban_cards c using jobs j on c.job_id = j.id and c.id = any(%(cards)s)"
    " when matched and c.state = 'in_review' then delete"
    " when matched then update set state = %(state)s"
    " when not matched then insert (org_id, job_id, type) values (j.org_id, j.id, 'x')": 1,
    "truncate kanban_cards": 0.1,
}


def test_after_any_statements_the_queue_equals_a_recount(
    tx: psycopg.Connection, seed: int, scale: float
) -> None:
    choose = random.Random(seed)
    read = "select card_id, id from jobsdb.waiting_cards"
    done = 0
    for _ in range(int(3000 * scale)):
        jobs = column(tx, "select id from jobs order by ctid")  # ids differ from run to run
        while len(jobs) < 4:
            org = choose.choice([A, A, B])
            jobs.append(world.new_job(tx, org, review_mode=choose.random() < 0.7))
        cards = column(tx, "select id from kanban_cards order by ctid")
        (statement,) = choose.choices(list(RANDOM), RANDOM.values())
        names = {
            "org": choose.choice([A, B]),
            "job": choose.choice(jobs),
            "jobs": choose.sample(jobs, choose.choice([1, 1, 2])),
            "cards": choose.sample(cards, min(len(cards), choose.choice([1, 1, 1, 2, 5]))),
            "state": choose.choice(STATES),
            "new": choose.choice([*WAITING, "approved"]),
        }
        before = dict(tx.execute(read).fetchall())
        done += not isinstance(world.outcome(tx, statement, names, keep=True), str)
        check_queue(tx)
        for waiting, place in tx.execute(read).fetchall():
            assert before.get(waiting, place) == place, "who goes on waiting keeps the place"
    assert done > 1000 * scale


RACERS = {
    "approve": "update kanban_cards set state = 'approved' where id = %(card_shown)s",
    "reject": "update kanban_cards set state = 'rejected' where id = %(card_shown)s",
    "edit": "update kanban_cards set content = '{}' where id = %(card_shown)s",
    "unlink": "update kanban_cards set job_id = null where id = %(card_shown)s",
    "move away": "update kanban_cards set job_id = %(other)s, task_id = null"
    " where id = %(card_shown)s",
    "show again": "update kanban_cards set state = 'in_review'"
    " where id in (%(card_shown)s, %(card_approved)s) and state <> 'rejected'",
}


@pytest.mark.parametrize("first", RACERS)
def test_two_sessions_that_move_the_same_card_leave_the_queue_true(
    stage: Stage, first: str
) -> None:
    a, b = stage.session(), stage.session()
    for second, end in itertools.product(RACERS, ("commit", "rollback")):
        names = stage.job()
        a.begin()
        a.run(RACERS[first], names)
        step = b.start(RACERS[second], names)
        assert step.waits()
        a.end(end)
        assert step.outcome() in ("ok", "JB003"), (second, end)
        check_queue(stage.watch)
        stage.clear()
        check_queue(stage.watch)


# ------------------------------------------------------------------------------------ review_cards


def test_what_was_shown_is_decided_and_written_down(tx: psycopg.Connection) -> None:
    job, made = drafted(tx, *(person(key, first_name=key) for key in ("ann", "bob", "cid")))
    hashes = [hash_of(tx, made_card) for made_card in made]
    with as_tenant(tx, MEMBER):
        for decision, made_card in zip(("approve", "reject", "redraft"), made, strict=True):
            told = decide(tx, decision, made_card, comment=f"because {decision}")
            assert told == {str(made_card): "ok"}
    states = ["approved", "rejected", "rejected"]
    assert [card(tx, made_card)["state"] for made_card in made] == states
    for made_card, state, content_hash, decision in zip(
        made, states, hashes, ("approve", "reject", "redraft"), strict=True
    ):
        why = f"because {decision}"
        assert reviews(tx, made_card) == [(state, MEMBER, "authenticated", content_hash, why)]
    assert going_out(tx, job) == [("ann@example.com", "Hello ann")]
    assert column(tx, "select content_hash from jobsdb.sends") == hashes[:1]
    assert contact(tx, job, "bob") == ("stopped", "rejected")
    assert contact(tx, job, "ann") == contact(tx, job, "cid") == ("active", None)


@pytest.mark.parametrize("decision", ["approve", "reject", "redraft"])
def test_every_card_of_a_batch_has_an_outcome_of_its_own(
    tx: psycopg.Connection, decision: str
) -> None:
    job, made = drafted(tx, *(person(key, first_name=key) for key in "abcd"))
    good, edited, approved, unlinked = made
    todo = world.new_card(tx, job, "todo", task=card(tx, good)["task_id"])
    foreign = world.new_card(tx, world.new_job(tx, B), org=B)
    with as_tenant(tx, A):
        shown = dict(tx.execute("select card_id, content_hash from review_queue").fetchall())
    shown |= {str(foreign): hash_of(tx, foreign), str(UNKNOWN): hash_of(tx, good)}
    world.move_card(tx, approved, "approved")
    tx.execute("update kanban_cards set content = content || '{\"x\": 1}' where id = %s", [edited])
    tx.execute("update kanban_cards set job_id = null where id = %s", [unlinked])
    read = "select to_jsonb(c) from kanban_cards c where id <> all(%s) order by id"
    before = column(tx, read, [good, todo])
    expected = {
        good: "ok",
        todo: "ok",
        edited: "changed",
        approved: "decided",
        unlinked: "not_found",
        foreign: "not_found",
        UNKNOWN: "not_found",
    }
    ids = [*expected, *NO_IDS]
    with as_tenant(tx, A):
        told = decide(tx, decision, *ids, shown=[shown.get(str(each), "") for each in ids])
    assert told == {str(key): value for key, value in expected.items()} | dict.fromkeys(
        NO_IDS, "not_found"
    )
    assert column(tx, read, [good, todo]) == before
    assert {card(tx, each)["state"] for each in (good, todo)} == {
        "approved" if decision == "approve" else "rejected"
    }


def test_only_the_hash_that_was_shown_decides(tx: psycopg.Connection) -> None:
    made = world.new_card(tx, world.new_job(tx))
    other = world.new_card(tx, world.new_job(tx), subject="other")
    with as_tenant(tx, A):
        for wrong in ("", None, "x", hash_of_queue(tx, other), hash_of_queue(tx, made).upper()):
            assert decide(tx, "approve", made, shown=[wrong]) == {str(made): "changed"}
    assert card(tx, made)["state"] == "in_review"
    assert reviews(tx, made) == []


def hash_of_queue(conn: psycopg.Connection, card_id: object) -> str:
    return one(conn, "select content_hash from review_queue where card_id = %s", str(card_id))


def test_a_card_named_twice_is_decided_once(tx: psycopg.Connection) -> None:
    _, (made,) = drafted(tx, person("ann", first_name="Ann"))
    for decision in ("redraft", "reject", "approve"):
        with tx.transaction(force_rollback=True):
            shown = [hash_of(tx, made)] * 2
            with as_tenant(tx, A):
                values = {"ids": [str(made)] * 2, "hashes": shown, "decision": decision}
                told = tx.execute(REVIEW, {**values, "reviewer": None, "comment": None}).fetchall()
            assert told == [(str(made), "ok"), (str(made), "decided")]
            assert len(reviews(tx, made)) == 1


def test_a_comment_is_cut_and_belongs_to_its_own_decision_only(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    made, other = world.new_card(tx, job), world.new_card(tx, job)
    with as_tenant(tx, A):
        decide(tx, "reject", made, comment="é" * 2000)
        world.move_card(tx, made, "in_review")
        decide(tx, "approve", made)
        world.move_card(tx, other, "rejected")
    assert [found[-1] for found in reviews(tx, made)] == ["é" * 1000, None, None]
    assert [found[-1] for found in reviews(tx, other)] == [None]


REFUSED = {
    "an unknown decision": ({"decision": "Approve"}, "JB011", '"Approve" is no decision'),
    "no decision": ({"decision": None}, "JB011", '"null" is no decision'),
    "fewer hashes": ({"hashes": []}, "JB011", "every card needs the hash of what was shown"),
    "more hashes": ({"hashes": ["x", "y"]}, "JB011", "every card needs the hash"),
    "no hashes": ({"hashes": None}, "JB011", "every card needs the hash"),
    "no cards": ({"ids": None}, "JB011", "every card needs the hash"),
    "nested arrays": ({"ids": [["a"]], "hashes": [["b"]]}, "JB011", "every card needs the hash"),
    "too many": ({"ids": ["x"] * 10_001, "hashes": ["y"] * 10_001}, "JB050", "too many cards"),
    "somebody else as reviewer": ({"reviewer": MEMBER}, "JB003", f'"{MEMBER}" cannot decide here'),
}


@pytest.mark.parametrize(("change", "code", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_a_call_that_makes_no_sense_is_refused(
    tx: psycopg.Connection, change: dict[str, Any], code: str, text: str
) -> None:
    made = world.new_card(tx, world.new_job(tx))
    given = {"ids": [str(made)], "hashes": [hash_of(tx, made)], "decision": "approve"}
    with as_tenant(tx, A), refused(tx, code, text):
        tx.execute(REVIEW, {**given, "reviewer": None, "comment": None, **change})
    assert card(tx, made)["state"] == "in_review"


def test_no_cards_and_ten_thousand_are_taken(tx: psycopg.Connection) -> None:
    with as_tenant(tx, A):
        assert decide(tx, "approve", shown=[]) == {}
        many = [str(number) for number in range(10_000)]
        assert set(decide(tx, "approve", *many, shown=many).values()) == {"not_found"}


def test_a_refusal_undoes_the_whole_call(tx: psycopg.Connection) -> None:
    job, closed = world.new_job(tx), world.new_job(tx)
    good, late = world.new_card(tx, job), world.new_card(tx, closed)
    world.move_job(tx, closed, "cancelled")
    with as_tenant(tx, A), refused(tx, "JB040", "because its job is finished"):
        decide(tx, "approve", good, late, comment="left behind?")
    assert reviews(tx, good) == []
    assert queue(tx) == [str(good), str(late)]
    with as_tenant(tx, A):
        assert decide(tx, "reject", good, late) == {str(good): "ok", str(late): "ok"}
    assert reviews(tx, good)[0][-1] is None


def test_only_cards_of_a_draft_are_drafted_anew(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    loose, other = world.new_card(tx, job), world.new_card(tx, job, task=world.new_task(tx, job))
    with as_tenant(tx, A):
        told = decide(tx, "redraft", loose, other)
    assert told == {str(loose): "not_drafted", str(other): "not_drafted"}
    assert set(queue(tx)) == {str(loose), str(other)}


def test_a_card_is_drafted_anew_three_times_with_the_comment(tx: psycopg.Connection) -> None:
    job, _ = drafted(
        tx, person("ann", first_name="Ann"), person("bob", first_name="Bob"), four_eyes=False
    )
    first = row(tx, "select * from job_tasks where kind = 'draft_email'")
    for number in (1, 2, 3):
        made = cards_of(tx, job)[0] if number == 1 else newest(tx)
        with as_tenant(tx, A):
            told = decide(tx, "redraft", made["id"], comment=f"{number}. warmer")
            assert told == {str(made["id"]): "ok"}
        (task,) = rows(tx, "select * from job_tasks order by id desc limit 1")
        assert task["input"] == {
            **first["input"],
            "contact_ids": ["ann"],
            "redraft_of": str(made["id"]),
            "redraft": number,
            "comment": f"{number}. warmer",
        }
        assert (task["job_id"], task["batch"], task["org_id"]) == (job, 0, A)
        assert contact(tx, job, "ann") == ("active", None)
        assert draft(tx) == 1
    with as_tenant(tx, A):
        assert review(tx, newest(tx)["id"], "redraft") == "redrafted_too_often"
        assert str(newest(tx)["id"]) in queue(tx)
        assert review(tx, newest(tx)["id"], "approve") == "ok"
    assert going_out(tx, job) == [("ann@example.com", "Hello Ann")]
    world.move_card(tx, newest(tx)["id"], "rejected")
    assert contact(tx, job, "ann") == ("stopped", "rejected"), "a rejection still ends the sequence"
    assert going_out(tx, job) == []


def newest(conn: psycopg.Connection) -> dict[str, Any]:
    return row(conn, "select * from kanban_cards order by task_id desc, id limit 1")


def test_what_is_drafted_anew_goes_out_no_earlier_than_the_others(tx: psycopg.Connection) -> None:
    job, (ann, bob) = drafted(tx, person("ann", first_name="A"), person("bob", first_name="B"))
    tx.execute(
        "update job_tasks set scheduled_for = now() + interval '1 day' where kind = 'send_email'"
    )
    with as_tenant(tx, A):
        assert review(tx, ann) == "ok"
        assert review(tx, bob, "redraft") == "ok"
    assert draft(tx) == 1
    with as_tenant(tx, A):
        assert review(tx, newest(tx)["id"]) == "ok"
    assert len(set(column(tx, "select not_before from jobsdb.sends"))) == 1
    assert going_out(tx, job) == []


def test_what_is_drafted_in_place_of_a_deleted_card_goes_out(tx: psycopg.Connection) -> None:
    job = campaign(tx, person("ann", first_name="Ann"))
    lease = claim(tx)
    for subject in ("one", "two"):
        assert draft(tx, *lease) == 1
        (made,) = cards_of(tx, job)
        content = Jsonb({**made["content"], "subject": subject})
        with as_tenant(tx, A):
            assert review(tx, made["id"], content=content) == "ok"
        assert going_out(tx, job) == [("ann@example.com", subject)]
        if subject == "one":
            with as_service(tx):
                tx.execute("delete from kanban_cards where id = %s", [made["id"]])
            assert going_out(tx, job) == []


def reviewing(stage: Stage, *keys: str) -> tuple[UUID, list[Any], list[str]]:
    """A committed campaign of the stage's tenant: job, cards and what is shown of them."""
    with stage.watch.transaction():
        job = campaign(stage.watch, *(person(key, first_name=key) for key in keys), org=stage.org)
        assert draft(stage.watch) == len(keys)
    made = [each["id"] for each in cards_of(stage.watch, job)]
    return job, made, [hash_of(stage.watch, each) for each in made]


def asked(made: object, shown: str, decision: str) -> dict[str, Any]:
    given = {"ids": [str(made)], "hashes": [shown], "decision": decision}
    return {**given, "reviewer": None, "comment": None}


@pytest.mark.parametrize(("end", "then"), [("commit", "decided"), ("rollback", "ok")])
def test_of_two_who_decide_on_the_same_card_the_second_waits_for_the_first(
    stage: Stage, end: str, then: str
) -> None:
    for first, second in itertools.product(("approve", "reject", "redraft"), repeat=2):
        _, (made,), (shown,) = reviewing(stage, "ann")
        a, b = stage.session(), stage.session()
        a.begin()
        assert a.run(REVIEW, asked(made, shown, first)) == [(str(made), "ok")]
        step = b.start(REVIEW, asked(made, shown, second))
        assert step.waits()
        a.end(end)
        assert step.rows() == [(str(made), then)]
        decided = first if end == "commit" else second
        state = "approved" if decided == "approve" else "rejected"
        assert [found[0] for found in reviews(stage.watch, made)] == [state]
        check_queue(stage.watch)
        stage.clear()


@pytest.mark.parametrize("call", ["review_cards", "review_card"])
def test_an_edit_under_way_is_waited_for_and_then_not_approved(stage: Stage, call: str) -> None:
    _, (made,), (shown,) = reviewing(stage, "ann")
    agent, reviewer = stage.session("service_role"), stage.session()
    agent.begin()
    agent.run('update kanban_cards set content = \'{"to": "evil@example.com"}\'')
    if call == "review_cards":
        step = reviewer.start(REVIEW, asked(made, shown, "approve"))
    else:
        given = [str(made), shown, Jsonb({"to": "ann@example.com"})]
        query = "select review_card(%s, 'approve', expected_hash => %s, content => %s)"
        step = reviewer.start(query, given)
    assert step.waits()
    agent.end()
    assert step.rows()[0][-1] == "changed"
    assert card(stage.watch, made)["content"] == {"to": "evil@example.com"}
    assert card(stage.watch, made)["state"] == "in_review"


def test_two_cards_of_one_batch_are_drafted_anew_at_once(stage: Stage) -> None:
    job, (ann, bob), (of_ann, of_bob) = reviewing(stage, "ann", "bob")
    first, second = stage.session(), stage.session()
    first.begin()
    assert first.run(REVIEW, asked(ann, of_ann, "redraft")) == [(str(ann), "ok")]
    step = second.start(REVIEW, asked(bob, of_bob, "redraft"))
    step.waits()
    first.end()
    assert step.rows() == [(str(bob), "ok")]
    wanted = "select input -> 'contact_ids' ->> 0 from job_tasks where input ? 'redraft' order by 1"
    assert column(stage.watch, wanted) == ["ann", "bob"]
    assert contact(stage.watch, job, "bob") == ("active", None)


# ------------------------------------------------------------------------------------- review_card


@pytest.mark.parametrize("with_hash", [True, False])
def test_an_approval_with_an_edit_approves_the_edit(
    tx: psycopg.Connection, with_hash: bool
) -> None:
    job, (made,) = drafted(tx, person("ann", first_name="Ann"))
    edited = {**card(tx, made)["content"], "subject": "Better"}
    expected = {"expected_hash": hash_of(tx, made)} if with_hash else {}
    with as_tenant(tx, A):
        assert review(tx, made, content=Jsonb(edited), comment="mine", **expected) == "ok"
    assert card(tx, made)["content"] == edited
    now = hash_of(tx, made)
    assert reviews(tx, made) == [("approved", A, "authenticated", now, "mine")]
    assert column(tx, "select content_hash from jobsdb.sends") == [now]
    assert going_out(tx, job) == [("ann@example.com", "Better")]


def test_an_edit_of_what_was_not_shown_or_does_not_wait_edits_nothing(
    tx: psycopg.Connection,
) -> None:
    job = world.new_job(tx)
    made = world.new_card(tx, job)
    decided = {state: world.new_card(tx, job, state) for state in ("approved", "rejected", "done")}
    foreign = world.new_card(tx, world.new_job(tx, B), org=B)
    free = world.new_card(tx, None)
    read = "select to_jsonb(c) from kanban_cards c order by id"
    before = column(tx, read)
    edit = Jsonb({"to": "evil@example.com"})
    with as_tenant(tx, A):
        for wrong in ("", "x", "0" * 64):
            assert review(tx, made, expected_hash=wrong, content=edit) == "changed"
            assert review(tx, made, expected_hash=wrong) == "changed"
        for state, each in decided.items():
            assert review(tx, each, content=edit) == review(tx, each) == "decided", state
        for each in (foreign, free, UNKNOWN, *NO_IDS):
            assert review(tx, each, content=edit) == review(tx, each) == "not_found"
            assert review(tx, each, expected_hash="x", content=edit) == "not_found"
    assert column(tx, read) == before


def test_without_a_hash_a_card_is_decided_as_it_is_now(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    for decision, state in (("approve", "approved"), ("reject", "rejected")):
        made = world.new_card(tx, job, "todo")
        with as_tenant(tx, A):
            assert review(tx, made, decision) == "ok"
        assert reviews(tx, made) == [(state, A, "authenticated", hash_of(tx, made), None)]


@pytest.mark.parametrize("decision", ["reject", "redraft", "x", None])
def test_only_an_approval_changes_content(tx: psycopg.Connection, decision: str | None) -> None:
    made = world.new_card(tx, world.new_job(tx))
    with as_tenant(tx, A), refused(tx, "JB011", "only an approval can change the content"):
        review(tx, made, decision, content=Jsonb({}))
    if decision not in ("reject", "redraft"):
        with as_tenant(tx, A), refused(tx, "JB011", "is no decision"):
            review(tx, made, decision)


def test_a_card_whose_id_is_spelled_otherwise_is_not_called_decided(tx: psycopg.Connection) -> None:
    made = world.new_card(tx, world.new_job(tx))
    for spelled in (str(made).upper(), f"{{{made}}}", str(made).replace("-", "")):
        with tx.transaction(force_rollback=True), as_tenant(tx, A):
            told = review(tx, spelled)
            state = card(tx, made)["state"]
        assert (told, state) in {("ok", "approved"), ("not_found", "in_review")}


# ------------------------------------------------------------------------------------- the reviewer

NOBODY = "nobody is there who could decide"
WHO: dict[str, tuple[Any, UUID | None, UUID | str | None]] = {
    "a tenant": (lambda c: as_tenant(c, A), None, A),
    "a tenant who names himself": (lambda c: as_tenant(c, A), A, A),
    "a member": (lambda c: as_tenant(c, MEMBER), None, MEMBER),
    "a tenant who names another": (lambda c: as_tenant(c, A), MEMBER, "cannot decide here"),
    "a JWT without sub": (world.as_nobody, None, NOBODY),
    "a JWT without sub that names a member": (world.as_nobody, MEMBER, NOBODY),
    "the service role for nobody": (as_service, None, NOBODY),
    "the service role for a stranger": (as_service, STRANGER, "cannot decide here"),
    "the service role for another tenant": (as_service, B, "cannot decide here"),
    "the service role for a member": (as_service, MEMBER, MEMBER),
    "the service role for the person whose organisation it is": (as_service, A, A),
    "a signed-in service": (lambda c: as_service(c, sub=str(MEMBER)), None, MEMBER),
    "a signed-in service for another": (
        lambda c: as_service(c, sub=str(MEMBER)), A, "cannot decide here",
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", ["review_cards", "review_card", "with content"])
@pytest.mark.parametrize(("who", "reviewer", "told"), WHO.values(), ids=WHO.keys())
def test_an_identified_person_decides_and_is_named(
    tx: psycopg.Connection, who: Any, reviewer: UUID | None, told: UUID | str, call: str
) -> None:
    made = world.new_card(tx, world.new_job(tx))
    before, shown = card(tx, made), hash_of(tx, made)

    def act() -> str:
        if call == "review_cards":
            return decide(tx, "approve", made, shown=[shown], reviewer=reviewer)[str(made)]
        more = {"content": Jsonb({"to": "b@example.com"})} if call == "with content" else {}
        return review(tx, made, reviewer=reviewer, expected_hash=shown, **more)

    with who(tx):
        identity = tx.execute(IDENTITY).fetchone()
        role = one(tx, "select current_user")
        if isinstance(told, UUID):
            assert act() == "ok"
        else:
            with refused(tx, "JB003", told):
                act()
        assert tx.execute(IDENTITY).fetchone() == identity
    if isinstance(told, UUID):
        assert reviews(tx, made) == [("approved", told, role, hash_of(tx, made), None)]
        event = row(tx, "select * from jobsdb.events where entity_id = %s", str(made))
        assert (event["new_status"], event["actor"], event["actor_role"]) == (
            "approved",
            told,
            role,
        )
    else:
        assert card(tx, made) == before
        assert reviews(tx, made) == []


@pytest.mark.parametrize(
    ("claims", "claim"), [({}, None), ({}, ""), ({"sub": str(A)}, None), ({}, str(MEMBER))]
)
def test_afterwards_the_caller_is_who_he_was(
    tx: psycopg.Connection, claims: dict[str, str], claim: str | None
) -> None:
    _, (ann, bob, cid) = drafted(tx, *(person(key, first_name=key) for key in ("a", "b", "c")))
    foreign = world.new_card(tx, world.new_job(tx, B), org=B)
    with as_service(tx, **claims):
        if claim is not None:
            tx.execute("select set_config('request.jwt.claim.sub', %s, true)", [claim])
        before = tx.execute(IDENTITY).fetchone()
        reviewer = before[0] or MEMBER
        assert decide(tx, "approve", ann, reviewer=reviewer) == {str(ann): "ok"}
        assert tx.execute(IDENTITY).fetchone() == before
        assert review(tx, bob, "redraft", reviewer=reviewer) == "ok"
        assert tx.execute(IDENTITY).fetchone() == before
        assert review(tx, bob, reviewer=reviewer) == "decided"
        assert review(tx, cid, reviewer=reviewer, expected_hash="x") == "changed"
        assert tx.execute(IDENTITY).fetchone() == before
        with refused(tx, "JB003", "cannot decide here"):
            decide(tx, "approve", cid, reviewer=STRANGER)
        assert tx.execute(IDENTITY).fetchone() == before
        if before[0] is None:
            with refused(tx, "JB003", "cannot decide here"):
                decide(tx, "approve", cid, foreign, reviewer=reviewer)
            assert tx.execute(IDENTITY).fetchone() == before
            with refused(tx, "JB003", "cannot be approved by nobody"):
                world.move_card(tx, cid, "approved")
    assert card(tx, cid)["state"] == "in_review"


# ------------------------------------------------- an agent that would like to approve its own card

SAME_ID = (
    "insert into kanban_cards (id, org_id, job_id, type, state, content)"
    " values (%(approved)s, %(org)s, %(job)s, 'send_email', '{}', %(evil)s)"
)
UPDATE = "update kanban_cards set {} where id = %(card)s"
APPROVE = UPDATE.format("state = 'approved'")
ATTACKS = {
    "a plain update": [APPROVE],
    "an update with other content": [UPDATE.format("state = 'approved', content = %(evil)s")],
    "a card that is new and approved": [
        "insert into kanban_cards (org_id, job_id, type, state)"
        " values (%(org)s, %(job)s, 'x', 'approved')"
    ],
    "linking what it approved": [
        "update kanban_cards set state = 'approved' where id = %(free)s",
        "update kanban_cards set job_id = %(job)s where id = %(free)s",
    ],
    "linking by the task": [
        "update kanban_cards set state = 'approved' where id = %(free)s",
        "update kanban_cards set task_id = %(task)s where id = %(free)s",
    ],
    "unlinking, approving, linking": [
        UPDATE.format("job_id = null"), APPROVE, UPDATE.format("job_id = %(job)s"),
    ],
    "a job without review and back": [
        UPDATE.format("job_id = %(lax)s"), APPROVE, UPDATE.format("job_id = %(job)s"),
    ],
    "executing without an approval": [UPDATE.format("state = 'done'")],
    "rejecting and taking it back": [
        UPDATE.format("state = 'rejected'"), UPDATE.format("state = 'in_review'"), APPROVE,
    ],
    "switching review off": [
        "update jobs set params = params || '{\"review_mode\": false}' where id = %(job)s"
    ],
    "review_card for nobody": ["select review_card(%(card)s::text, 'approve')"],
    "review_card for somebody it has invented": [
        "select review_card(%(card)s::text, 'approve', gen_random_uuid())"
    ],
    "review_card of another tenant": ["select review_card(%(card)s::text, 'approve', %(other)s)"],
    "review_cards for nobody": [
        "select review_cards(array[card_id], array[content_hash], 'approve') from review_queue"
    ],
    "a setting for comments": [
        "select set_config('jobsdb.review_comment', 'looks fine', true)", APPROVE,
    ],
    "a setting for drafts": [
        "select set_config('jobsdb.redraft', %(card)s::text, true)", APPROVE,
    ],
    "a setting for deployments": [
        "select set_config('jobsdb.runner', pg_current_xact_id()::text, true)", APPROVE,
    ],
    "empty claims": [
        "select set_config('request.jwt.claim.sub', '', true),"
        " set_config('request.jwt.claims', '{}', true)",
        APPROVE,
    ],
    "the first words of an approved card": [
        "update kanban_cards set state = 'in_review' where id = %(approved)s",
        "update kanban_cards set content = %(evil)s where id = %(approved)s",
        "update kanban_cards set state = 'approved' where id = %(approved)s",
    ],
    "executing other content": [
        "update kanban_cards set state = 'done', content = %(evil)s where id = %(approved)s"
    ],
    "an edit while nobody looks": [
        "update kanban_cards set job_id = null where id = %(approved)s",
        "update kanban_cards set content = %(evil)s where id = %(approved)s",
        "update kanban_cards set job_id = %(job)s where id = %(approved)s",
    ],
    "an upsert": [
        SAME_ID.format("in_review")
        + " on conflict (id) do update set job_id = null, content = excluded.content",
        "update kanban_cards set job_id = %(job)s where id = %(approved)s",
    ],
    "an upsert that approves": [
        SAME_ID.replace("%(approved)s", "%(card)s").format("in_review")
        + " on conflict (id) do update set state = 'approved'"
    ],
    "another card under the same id": [
        "delete from kanban_cards where id = %(approved)s", SAME_ID.format("approved"),
    ],
    "merge": [
        "merge into kanban_cards c using jobs j on c.id = %(card)s and j.id = %(job)s"
        " when matched then update set state = 'approved'"
    ],
    "a cursor": [
        "declare mine cursor for select * from kanban_cards where id = %(card)s for update",
        "fetch mine",
        "update kanban_cards set state = 'approved' where current of mine",
    ],
}  # fmt: skip
UNSEEN = """
select c.id
from kanban_cards as c
inner join jobs as j on j.id = c.job_id
where c.state = 'approved' and j.params -> 'review_mode' is distinct from 'false' and not exists (
  select from jobsdb.card_reviews as r
  where (r.card_id, r.job_id, r.decision) = (c.id::text, c.job_id, 'approved')
    and r.reviewer is not null
    and r.content_hash = jobsdb.card_hash(to_jsonb(c.*))
)
"""


@pytest.fixture(scope="module")
def host_db(server: Server) -> Iterator[psycopg.Connection]:
    """A host whose table has no policies and lets the service role write every column."""
    with (
        new_database(server) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        install(conn, PLAIN)
        yield conn


def install(conn: psycopg.Connection, shape: str) -> None:
    world.make_prerequisites(conn)
    conn.execute(shape + RUNS)
    world.install(conn)
    conn.execute("select jobsdb.add_org_member(%s, %s)", [MEMBER, A])


@pytest.fixture(params=["ours", "a host's"])
def both(
    request: pytest.FixtureRequest, module_db: psycopg.Connection
) -> Iterator[tuple[psycopg.Connection, dict[str, Any]]]:
    """A card in review, one that a person approved, a free one; in a table of ours or a host's."""
    ours = request.param == "ours"
    conn = module_db if ours else request.getfixturevalue("host_db")
    with conn.transaction(force_rollback=True):
        job = world.new_job(conn, four_eyes=False)
        with as_service(conn):
            lax = world.new_job(conn, review_mode=False)
        approved = world.new_card(conn, job, subject="seen")
        with as_tenant(conn, A):
            world.move_card(conn, approved, "approved")
        yield (
            conn,
            {
                "ours": ours,
                "job": job,
                "lax": lax,
                "task": world.new_task(conn, job),
                "card": world.new_card(conn, job),
                "approved": approved,
                "free": world.new_card(conn, None),
                "evil": Jsonb({"to": "evil@example.com", "subject": "evil"}),
                "org": A,
                "other": B,
            },
        )
        assert column(conn, UNSEEN) == []
        assert set(going_out(conn, job)) <= {("contact@example.com", "seen")}
        check_queue(conn)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_agent_does_not_approve_its_own_card_by(
    both: tuple[psycopg.Connection, dict[str, Any]], attack: list[str]
) -> None:
    conn, names = both
    code = "JB003"
    if names["ours"]:  # the id of a card is given by the database
        for number, step in enumerate(attack, 1):
            if "(id, org_id" in step:
                attack, code = attack[:number], "42501"
    *steps, last = attack
    with as_service(conn):
        for step in steps:
            conn.execute(step, names)
        with refused(conn, code):
            conn.execute(last, names)


def test_an_agent_does_not_approve_its_own_card_by_copy(
    both: tuple[psycopg.Connection, dict[str, Any]],
) -> None:
    conn, names = both
    load = "copy kanban_cards (org_id, job_id, type, state) from stdin"
    with (
        as_service(conn),
        refused(conn, "0A000" if names["ours"] else "JB003"),
        conn.cursor().copy(load) as copy,
    ):
        copy.write_row((A, names["job"], "x", "approved"))


EDITS_OF_APPROVED = [
    "update kanban_cards set content = %(evil)s where id = %(approved)s",
    "update kanban_cards set content = %(evil)s, state = 'approved' where id = %(approved)s",
    "update kanban_cards set content = content || %(evil)s where state = 'approved'",
    "update kanban_cards set type = 'follow_up' where id = %(approved)s",
    "update kanban_cards set title = 'evil' where id = %(approved)s",
]


@pytest.mark.parametrize("edit", EDITS_OF_APPROVED)
def test_an_agent_that_edits_what_was_approved_has_it_reviewed_again(
    both: tuple[psycopg.Connection, dict[str, Any]], edit: str
) -> None:
    conn, names = both
    assert going_out(conn, names["job"]) == [("contact@example.com", "seen")]
    with as_service(conn):
        conn.execute(edit, names)
    assert card(conn, names["approved"])["state"] == "in_review"
    assert str(names["approved"]) in queue(conn)
    assert going_out(conn, names["job"]) == []


def test_what_an_agent_puts_in_the_place_of_an_approved_card_is_reviewed(
    host_db: psycopg.Connection,
) -> None:
    with host_db.transaction(force_rollback=True):
        job = world.new_job(host_db)
        made = world.new_card(host_db, job, subject="seen")
        with as_tenant(host_db, A):
            world.move_card(host_db, made, "approved")
        with as_service(host_db):
            host_db.execute("delete from kanban_cards where id = %s", [made])
            given = {"approved": made, "org": A, "job": job, "evil": Jsonb({"to": "x@example.com"})}
            host_db.execute(SAME_ID.format("in_review"), given)
        assert going_out(host_db, job) == []
        assert queue(host_db) == [str(made)]


# --------------------------------------------------------------------------------------- four eyes


def of_creator(conn: psycopg.Connection, **params: Any) -> tuple[UUID, Any]:
    """A job that A has created and a card of it."""
    with as_tenant(conn, A):
        job = world.new_job(conn, **params)
    return job, world.new_card(conn, job)


@pytest.mark.parametrize("mode", MODES)
def test_with_four_eyes_who_created_the_job_cannot_approve(
    tx: psycopg.Connection, mode: str
) -> None:
    job, made = of_creator(tx, four_eyes=True, **MODES[mode])
    told = "cannot be approved by who created the job"
    free = world.new_card(tx, None, "approved")
    with as_tenant(tx, A):
        for attempt in (
            lambda: world.move_card(tx, made, "approved"),
            lambda: review(tx, made),
            lambda: review(tx, made, content=Jsonb({"to": "b@example.com"})),
            lambda: decide(tx, "approve", made),
            lambda: tx.execute("update kanban_cards set job_id = %s where id = %s", [job, free]),
        ):
            with refused(tx, "JB003", told):
                attempt()
    with as_service(tx), refused(tx, "JB003", told):
        review(tx, made, reviewer=A)
    with as_tenant(tx, A):
        assert review(tx, made, "reject") == "ok"
        world.move_card(tx, made, "in_review")
    with as_tenant(tx, MEMBER):
        assert review(tx, made) == "ok"
        world.move_card(tx, world.new_card(tx, job), "approved")


@pytest.mark.parametrize("params", [{}, {"four_eyes": False}])
def test_without_four_eyes_who_created_the_job_approves(
    tx: psycopg.Connection, params: dict[str, bool]
) -> None:
    _, made = of_creator(tx, **params)
    with as_tenant(tx, A):
        assert review(tx, made) == "ok"


@pytest.mark.parametrize("params", [{}, {"four_eyes": False}])
@pytest.mark.parametrize("who", [lambda conn: as_tenant(conn, A), as_service], ids=["he", "agent"])
def test_four_eyes_are_not_closed_by_who_created_the_job_nor_by_an_agent(
    tx: psycopg.Connection, who: Any, params: dict[str, bool]
) -> None:
    job, _ = of_creator(tx, four_eyes=True)
    change = "update jobs set params = %s where id = %s"
    with who(tx), refused(tx, "JB003"):
        tx.execute(change, [Jsonb(params), job])
    with as_tenant(tx, MEMBER):
        tx.execute(change, [Jsonb(params), job])


# -------------------------------------------------------------------------------------- draft_cards


def test_every_contact_of_a_draft_gets_one_card(tx: psycopg.Connection) -> None:
    job = campaign(
        tx,
        person("ann", first_name='<b>O\'Brien</b> & "Co"\r\nBcc: evil@example.com'),
        person("bob", first_name="{{email}}", company="{{first_name}}"),
        person("cid", first_name="Cid"),
        variables={"company": "Acme"},
        batch_size=2,
    )
    task, token = claim(tx)
    assert draft(tx, task, token) == 2
    ann, bob = cards_of(tx, job)
    assert ann["content"] == {
        "to": "ann@example.com",
        "subject": 'Hello <b>O\'Brien</b> & "Co"Bcc: evil@example.com',
        "body": "<p>&lt;b&gt;O&#39;Brien&lt;/b&gt; &amp; &quot;Co&quot;\r\nBcc: evil@example.com"
        " of Acme</p>",
        "contact_id": "ann",
        "missing": [],
    }
    assert bob["content"]["subject"] == "Hello {{email}}"
    assert bob["content"]["body"] == "<p>{{email}} of {{first_name}}</p>"
    for made in (ann, bob):
        assert (made["org_id"], made["task_id"], made["state"]) == (A, task, "in_review")
    assert draft(tx) == 1
    assert [made["content"]["contact_id"] for made in cards_of(tx, job)] == ["ann", "bob", "cid"]
    assert len(queue(tx)) == 3
    assert going_out(tx, job) == []


def test_a_job_may_ask_for_bodies_that_are_not_escaped(tx: psycopg.Connection) -> None:
    job, _ = drafted(tx, person("ann", first_name="<b>"), escape="none")
    assert cards_of(tx, job)[0]["content"]["body"] == "<p><b> of us</p>"


@pytest.mark.parametrize("mode", MODES)
def test_a_draft_is_approved_by_itself_only_without_review_and_with_nothing_missing(
    tx: psycopg.Connection, mode: str
) -> None:
    job, (whole, torn) = drafted(
        tx, person("ann", first_name="Ann"), person("bob", first_name=""), **MODES[mode]
    )
    assert card(tx, whole)["state"] == ("approved" if mode == "off" else "in_review")
    assert card(tx, torn)["state"] == "in_review"
    assert card(tx, torn)["content"]["missing"] == ["first_name"]
    shown = dict(tx.execute("select card_id, missing from review_queue").fetchall())
    assert shown.pop(str(torn)) == ["first_name"]
    assert shown == ({} if mode == "off" else {str(whole): []})
    assert going_out(tx, job) == ([("ann@example.com", "Hello Ann")] if mode == "off" else [])


def test_drafting_again_adds_only_what_is_not_there(tx: psycopg.Connection) -> None:
    job = campaign(tx, *(person(key, first_name=key) for key in ("ann", "bob", "cid")))
    lease = claim(tx)
    assert draft(tx, *lease) == 3
    first, second, third = cards_of(tx, job)
    world.move_card(tx, first["id"], "approved")
    world.move_card(tx, second["id"], "rejected")
    assert draft(tx, *lease) == 0
    tx.execute("delete from kanban_cards where id = %s", [third["id"]])
    assert draft(tx, *lease) == 1
    assert [made["id"] for made in cards_of(tx, job)[:2]] == [first["id"], second["id"]]


def test_drafting_twice_at_once_makes_no_card_twice(stage: Stage) -> None:
    with stage.watch.transaction():
        job = campaign(stage.watch, person("ann", first_name="Ann"), org=stage.org)
    first, second = stage.session("service_role"), stage.session("service_role")
    (lease,) = first.run(CLAIM, [["draft_email"]])
    first.begin()
    assert first.run(DRAFT, lease) == [(1,)]
    step = second.start(DRAFT, lease)
    step.waits()
    first.end()
    assert step.rows() == [(0,)]
    assert len(cards_of(stage.watch, job)) == 1


def test_only_who_holds_the_task_drafts(tx: psycopg.Connection) -> None:
    job = campaign(tx, person("ann", first_name="Ann"))
    task, token = claim(tx)
    told = f'task "{task}" is not held with this lease'
    for lease in ((task, UNKNOWN), (task, None)):
        with refused(tx, "JB031", told):
            draft(tx, *lease)
    for lease in ((None, token), (world.UNKNOWN_TASK, token)):
        with refused(tx, "JB031", "is not held with this lease"):
            draft(tx, *lease)
    for loss in (
        "update job_tasks set status = 'pending' where id = %(task)s",
        "update job_tasks set status = 'done' where id = %(task)s",
        "select release_tasks(array[%(task)s], %(token)s)",
        "select cancel_job(%(job)s)",
        "delete from job_tasks where id = %(task)s",
    ):
        with tx.transaction(force_rollback=True):
            tx.execute(loss, {"task": task, "token": token, "job": job})
            with refused(tx, "JB031", told):
                draft(tx, task, token)
    assert cards_of(tx, job) == []
    with as_tenant(tx, A), refused(tx, "42501", "permission denied"):
        tx.execute(DRAFT, [task, token])


WITHOUT_TEMPLATE: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "an unknown template": ({}, "draft_email", {"template": "other"}),
    "a template null": ({}, "draft_email", {"template": None}),
    "no template": ({}, "draft_email", {}),
    "a job without templates": ({"templates": None}, "draft_email", {"template": "intro"}),
    "another kind of task": ({}, "research", {"template": "intro"}),
}


@pytest.mark.parametrize(
    ("params", "kind", "given"), WITHOUT_TEMPLATE.values(), ids=WITHOUT_TEMPLATE.keys()
)
def test_without_a_template_nothing_is_drafted(
    tx: psycopg.Connection, params: dict[str, Any], kind: str, given: dict[str, Any]
) -> None:
    job = campaign(tx, person("ann", first_name="Ann"), **params)
    task = world.new_task(tx, job, kind=kind)
    planned = "update job_tasks set status = 'skipped' where id <> %s and job_id = %s"
    tx.execute(planned, [task, job])
    document = Jsonb({"contact_ids": ["ann"], **given})
    tx.execute("update job_tasks set input = %s where id = %s", [document, task])
    lease = claim(tx, kind)
    with refused(tx, "JB011", f'task "{task}" has no template to draft from'):
        draft(tx, *lease)
    assert cards_of(tx, job) == []


@pytest.mark.parametrize("variables", [{}, {"variables": {}}, {"variables": {"company": "Acme"}}])
def test_the_variables_of_a_task_are_optional(
    tx: psycopg.Connection, variables: dict[str, Any]
) -> None:
    job = campaign(tx, person("ann", first_name="Ann"))
    document = Jsonb({"contact_ids": ["ann@example.com"], "template": "intro", **variables})
    tx.execute("update job_tasks set input = %s where kind = 'draft_email'", [document])
    assert draft(tx) == 1
    content = cards_of(tx, job)[0]["content"]
    company = variables.get("variables", {}).get("company", "us")
    assert (content["missing"], content["subject"]) == ([], "Hello Ann")
    assert content["body"] == f"<p>Ann of {company}</p>"


def test_who_has_answered_or_is_left_out_gets_no_draft(tx: psycopg.Connection) -> None:
    job = campaign(tx, *(person(key, first_name=key) for key in ("ann", "bob", "cid", "dan")))
    stop = (
        "update jobsdb.job_contacts set state = %s, reason = 'reply', next_touch = null"
        " where contact_key = %s"
    )
    tx.execute(stop, ["stopped", "ann"])
    tx.execute(stop, ["excluded", "bob"])
    assert draft(tx) == 2
    assert [made["content"]["contact_id"] for made in cards_of(tx, job)] == ["cid", "dan"]


# ---------------------------------------------------------------------------------- tables of hosts


@pytest.fixture
def host(server: Server) -> Iterator[psycopg.Connection]:
    """An empty database, for a host of any shape."""
    with (
        new_database(server) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        yield conn


def work_through(conn: psycopg.Connection) -> None:
    """Drafts, every decision, what is drafted anew and what goes out; undone afterwards."""
    with conn.transaction(force_rollback=True):
        job, (ann, bob, cid, dan) = drafted(
            conn, *(person(key, first_name=key) for key in ("ann", "bob", "cid", "dan"))
        )
        assert set(queue(conn)) == {str(made) for made in (ann, bob, cid, dan)}
        edited = {"to": "bob@example.com", "contact_id": "bob", "subject": "edited"}
        with as_tenant(conn, A):
            assert decide(conn, "approve", ann) == {str(ann): "ok"}
            assert review(conn, bob, content=Jsonb(edited)) == "ok"
            assert decide(conn, "reject", cid, "no id", comment="no") == {
                str(cid): "ok",
                "no id": "not_found",
            }
            assert review(conn, dan, "redraft") == "ok"
        subjects = [subject for _, subject in going_out(conn, job)]
        assert subjects == ["Hello ann", "edited"]
        assert draft(conn) == 1
        (left,) = queue(conn)
        with as_service(conn):
            with refused(conn, "JB003", "cannot be approved by nobody"):
                world.move_card(conn, left, "approved")
            assert review(conn, left, reviewer=MEMBER) == "ok"
            conn.execute("delete from kanban_cards where id = %s", [left])
        check_queue(conn)
        world.check_counters(conn)


SHAPES = {
    "uuid": PLAIN,
    "bigint id": BIGINT_ID,
    "short text id": PLAIN.replace(
        "id uuid primary key default gen_random_uuid()",
        "id varchar(36) primary key default gen_random_uuid()::text",
    ),
    "enum state": ENUM,
    "content is json": JSON,
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_host_of_any_shape_has_its_cards_drafted_and_reviewed(
    host: psycopg.Connection, shape: str
) -> None:
    install(host, shape)
    work_through(host)
    with host.transaction(force_rollback=True):
        _, made = drafted(host, person("ann", first_name="Ann"), person("bob"), review_mode=False)
        assert [card(host, each)["state"] for each in made] == ["approved", "in_review"]


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_cards_of_a_host_of_any_shape_are_decided_and_any_text_is_looked_for(
    host: psycopg.Connection, shape: str, decision: str
) -> None:
    install(host, shape)
    job = world.new_job(host)
    first, second = world.new_card(host, job, "todo"), world.new_card(host, job)
    with as_tenant(host, A):
        assert decide(host, decision, first) == {str(first): "ok"}
        assert review(host, second, decision) == "ok"
    with as_service(host):
        assert review(host, world.new_card(host, job), decision, reviewer=MEMBER) == "ok"
    for no_id in (*NO_IDS, "99999999999999999999", "-1", "1e3", str(UNKNOWN)):
        with as_tenant(host, A):
            assert review(host, no_id) == "not_found"
            assert decide(host, "approve", no_id) == {no_id: "not_found"}


def test_the_host_changes_its_columns_and_review_goes_on_in_every_session(
    host: psycopg.Connection,
) -> None:
    install(host, PLAIN)
    with psycopg.connect(
        host.info.dsn, host=host.info.host, port=host.info.port, autocommit=True
    ) as other:
        for _ in range(6):  # so that generic plans are cached
            work_through(host)
        work_through(other)
        for change in CHANGES:
            host.execute(change)
            if "to headline" not in change and "content type text" not in change:
                work_through(host)
                work_through(other)


SETTINGS = (
    "select coalesce(current_setting('jobsdb.redraft', true), ''),"
    " coalesce(current_setting('jobsdb.review_comment', true), '')"
)
REVIEWERS = "current_setting('request.jwt.claims', true)::jsonb ->> 'reviewer' = 'yes'"
POLICIES = {
    "who may not update": f"for update to authenticated using ({REVIEWERS})",
    "who may not approve": (
        "for update to authenticated using (true)"
        f" with check (state not in ('approved', 'rejected') or {REVIEWERS})"
    ),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_whom_the_host_forbids_to_decide_changes_nothing(
    host: psycopg.Connection, policy: str
) -> None:
    install(host, PLAIN)
    host.execute("alter table kanban_cards enable row level security")
    host.execute("create policy everybody on kanban_cards using (true) with check (true)")
    host.execute(f"create policy reviewers on kanban_cards as restrictive {policy}")
    with host.transaction():
        job, made = drafted(host, *(person(key, first_name=key) for key in ("ann", "bob", "cid")))

    def everything() -> list[Any]:
        ours = [f"jobsdb.{name}" for name in ("card_reviews", "sends", "job_contacts", "events")]
        tables = ["kanban_cards", "job_tasks", *ours]
        return [column(host, f"select to_jsonb(t) from {name} t order by 1") for name in tables]

    before = everything()
    for decision, content in (
        ("approve", None),
        ("approve", Jsonb({"to": "x@example.com"})),
        ("reject", None),
        ("redraft", None),
    ):
        with as_tenant(host, A):
            assert set(queue(host)) == {str(each) for each in made}
            try:
                with host.transaction():
                    told = review(host, made[0], decision, content=content)
            except psycopg.Error as error:
                told = error.sqlstate or "?"
            assert set(host.execute(SETTINGS).fetchone()) == {""}, decision
        assert told in ("not_found", "42501"), (decision, content)
        assert everything() == before, (decision, content)
    with as_tenant(host, A, reviewer="yes"):
        assert decide(host, "approve", made[0]) == {str(made[0]): "ok"}
        assert decide(host, "redraft", made[1]) == {str(made[1]): "ok"}
    assert going_out(host, job) == [("ann@example.com", "Hello ann")]
    with as_role(host, "authenticated", {"sub": str(MEMBER), "reviewer": "yes"}):
        assert review(host, made[2], "reject") == "ok"


def test_a_host_without_policies_opens_no_queue_to_other_tenants(
    host_db: psycopg.Connection,
) -> None:
    with host_db.transaction(force_rollback=True):
        job = world.new_job(host_db)
        made = [world.new_card(host_db, job, state) for state in ("in_review", "todo", "approved")]
        shown = [hash_of(host_db, each) for each in made]
        before = column(host_db, "select to_jsonb(c) from kanban_cards c order by id")
        with as_tenant(host_db, B):
            assert queue(host_db) == []
            for decision in ("approve", "reject", "redraft"):
                told = decide(host_db, decision, *made, UNKNOWN, shown=[*shown, "x"])
                assert set(told.values()) == {"not_found"}
        assert column(host_db, "select to_jsonb(c) from kanban_cards c order by id") == before


def test_a_card_the_host_hides_is_not_in_the_queue(host: psycopg.Connection) -> None:
    install(host, PLAIN)
    host.execute("alter table kanban_cards enable row level security")
    host.execute("create policy shown on kanban_cards using (title <> 'hidden')")
    with host.transaction():
        job = world.new_job(host)
        made, hidden = world.new_card(host, job), world.new_card(host, job)
        host.execute("update kanban_cards set title = 'hidden' where id = %s", [hidden])
    with as_tenant(host, A):
        assert queue(host) == [str(made)]
        assert decide(host, "approve", hidden, shown=["x"]) == {str(hidden): "not_found"}


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
@pytest.mark.parametrize(
    "reaction",
    [
        "update public.kanban_cards set state = 'rejected' where id = new.id and state = 'todo';",
        "delete from public.kanban_cards where id = new.id and state = 'todo';",
        "update public.kanban_cards set job_id = null where id = new.id and state = 'todo'"
        " and job_id is not null;",
    ],
    ids=["rejects", "deletes", "unlinks"],
)
def test_a_host_that_reacts_to_a_card_at_once_leaves_the_queue_true(
    host_db: psycopg.Connection, name: str, reaction: str
) -> None:
    with host_db.transaction(force_rollback=True):
        job = world.new_job(host_db)
        made = world.new_card(host_db, job)
        trigger = HOST_TRIGGER.replace("before insert or update", "after insert or update")
        host_db.execute(trigger.format(reaction, name))
        world.new_card(host_db, job, "todo")
        check_queue(host_db)
        host_db.execute("update kanban_cards set state = 'todo' where id = %s", [made])
        check_queue(host_db)
        world.check_counters(host_db)


def test_a_host_that_wants_more_columns_inserts_the_cards_itself(host: psycopg.Connection) -> None:
    install(host, PLAIN.replace("content jsonb", "content jsonb, board int not null"))
    with host.transaction(force_rollback=True):
        job = campaign(host, person("ann", first_name="Ann"))
        lease = claim(host)
        with refused(host, "23502", "board"):
            draft(host, *lease)
        content = Jsonb({"to": "ann@example.com", "contact_id": "ann", "subject": "by the host"})
        with as_service(host):
            host.execute(
                "insert into kanban_cards (org_id, job_id, task_id, type, content, board)"
                " values (%s, %s, %s, 'draft_email', %s, 1)",
                [A, job, lease[0], content],
            )
        assert draft(host, *lease) == 0
        with as_tenant(host, A):
            assert review(host, queue(host)[0]) == "ok"
        assert going_out(host, job) == [("ann@example.com", "by the host")]
