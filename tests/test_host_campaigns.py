"""Campaigns over the host application's own tables, from the contacts to what is forgotten.

What adoption changes is tested in test_host_tables.py, drafting and reviewing in test_review.py.
Here everything of a campaign happens on every shape a host may have, while the host goes on
changing its tables, with triggers and policies of its own, and an agent at its elbow.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

import commands
import world
from helpers import as_anon, as_service, as_tenant, new_database, refused
from jobsdb.errors import Exit
from jobsdb.local import Server
from test_campaigns import add, campaign, person, plan
from test_host_tables import BIGINT_ID, CHECKED, ENUM, HOST_TRIGGER, JSON, PLAIN, RICH, RUNS
from test_privacy import erase
from test_review import (
    APPROVE,
    MEMBER,
    UNSEEN,
    UPDATE,
    check_queue,
    decide,
    going_out,
    hash_of,
    install,
    queue,
    review,
)
from test_sends import (
    MAIL,
    begin,
    claim,
    later,
    own_card,
    send_of,
    sequence,
    settle,
    settled,
    state_of,
    tick,
)
from world import A, B, column, move_card, one, row, rows

OLD_ROWS = f"""
insert into public.kanban_cards (org_id, type, title, state, content)
select '{A}', 'note', 'old ' || n, 'todo', '{{"to": "ann@example.com"}}'
from generate_series(1, 7) as n;
"""
MORE = """
alter table public.kanban_cards
add board int not null default 1, add "Owner" text not null default '';
alter table public.kanban_cards alter board drop default, alter "Owner" drop default;
"""
TITLE = "title text generated always as ('Card: ' || type)"
PEOPLE = ("ann", "bob", "cid", "dan", "eve", "fay")
TWO: dict[str, Any] = {
    "cadence": {"day0": True, "day4": True},
    "templates": {"intro": MAIL, "followup1": MAIL},
    "batch_size": 4,
}


def params(cases: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(*(case if type(case) is tuple else [case]), id=name)
        for name, case in cases.items()
    ]


def with_column(column: str) -> str:
    """A host's table with one column more."""
    return PLAIN.replace("content jsonb", f"content jsonb, {column}")


class Shape(NamedTuple):
    """A host's table; where draft_cards cannot know enough, what the host itself inserts."""

    table: str
    own: dict[str, Any] | None = None
    refusal: tuple[str, str] = ("", "")


SHAPES = {
    "none": Shape(""),
    "uuid id, more columns, policies, old rows": Shape(RICH + OLD_ROWS),
    "bigint id": Shape(BIGINT_ID + OLD_ROWS),
    "enum state": Shape(ENUM + OLD_ROWS),
    "text state with a check": Shape(CHECKED + OLD_ROWS),
    "columns without a default": Shape(
        PLAIN + OLD_ROWS + MORE, {"board": 7, '"Owner"': "host"}, ("23502", "board")
    ),
    "content is json": Shape(JSON + OLD_ROWS),
    "new cards are todo": Shape(PLAIN.replace("default 'in_review'", "default 'todo'") + OLD_ROWS),
    "names that differ in their case": Shape(with_column('"State" int, "Job_Id" text, "ID" uuid')),
    "times of its own": Shape(with_column("created_at date default now()")),
    "title is generated": Shape(
        PLAIN.replace("title text", f"{TITLE} stored"), {}, ("428C9", "title")
    ),
}
PLAINLY = Shape("")
# What our functions call the row, or a variable.
NAMES = ("c", "k", "n", "o", "k2", "v_id")
AWKWARD = {
    **{f"a column {name}": Shape(with_column(f"{name} int default 5")) for name in NAMES},
    "created_at is a number": Shape(with_column("created_at bigint default 17e11")),
    "created_at is text": Shape(with_column("created_at text default 'tonight'")),
    "titles are short": Shape(PLAIN.replace("title text", "title varchar(20)")),
}


@pytest.fixture
def host(server: Server) -> Iterator[psycopg.Connection]:
    """An empty database, for a host of any shape."""
    with (
        new_database(server) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        yield conn


def write(conn: psycopg.Connection, shape: Shape) -> None:
    """What is planned is drafted: by draft_cards, or by the host, where it wants more columns."""
    with as_service(conn):
        claimed = rows(conn, "select * from claim_tasks('agent', 100, array['draft_email'])")
    for task in claimed:
        lease = task["id"], task["lease_token"]
        if shape.own is None:
            with as_service(conn):
                assert one(conn, "select draft_cards(%s, %s)", *lease) > 0
        else:
            with as_service(conn), refused(conn, *shape.refusal):
                conn.execute("select draft_cards(%s, %s)", lease)
            given = {"task_id": task["id"], "type": "draft_email", **shape.own}
            for key in task["input"]["contact_ids"]:
                own_card(conn, task["job_id"], content=mail(key), **given)
        with as_service(conn):
            conn.execute("select complete_tasks(array[%s::bigint], %s)", lease)


def mail(key: str, subject: str | None = None) -> dict[str, Any]:
    """The content of a card for a contact."""
    texts = {"subject": subject or f"Hello {key}", "body": f"<b>Dear {key}</b>"}
    return {"to": f"{key}@example.com", "contact_id": key, "missing": [], **texts}


def cards(conn: psycopg.Connection, job: UUID) -> dict[str, Any]:
    """The newest card of every contact of a job."""
    found = "select content::jsonb ->> 'contact_id', id from kanban_cards where job_id = %s"
    return dict(conn.execute(f"{found} order by task_id", [job]).fetchall())


def deliver(conn: psycopg.Connection) -> dict[str, tuple[str, str, str]]:
    """A worker sends whatever may go out: recipient, subject and body for every contact."""
    sent = {}
    for send in claim(conn):
        told = begin(conn, send)
        assert told["verdict"] == "ok"
        sent[send["contact_key"]] = (told["recipient"], told["subject"], told["body"])
        assert settle(conn, send, "sent", "smtp", f"m-{send['id']}") == "ok"
        assert state_of(conn, send["card_id"]) == "done"
    return sent


def report(conn: psycopg.Connection, send: dict[str, Any], event: str) -> str:
    """A provider reports what became of an e-mail."""
    call = "select record_send_event('smtp', %s, %s, %s)"
    with as_service(conn):
        return one(conn, call, f"{event} of {send['id']}", event, f"m-{send['id']}")


def of_host(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """The cards that no job has anything to do with."""
    found = "select to_jsonb(the_row) from kanban_cards as the_row where job_id is null"
    return sorted(column(conn, found), key=str)


def blocked(conn: psycopg.Connection, job: UUID) -> set[str]:
    with as_tenant(conn, A):
        return set(column(conn, "select what from job_blockers(%s)", job))


def begin_campaign(conn: psycopg.Connection, shape: Shape, **changes: Any) -> UUID:
    """A running job of two e-mails, the first of which is drafted for everybody."""
    add(conn, *map(person, PEOPLE))
    job = campaign(conn, A, "running", **{**TWO, **changes})
    write(conn, shape)
    return job


def live_through(conn: psycopg.Connection, shape: Shape) -> None:
    """A campaign from its contacts to what is forgotten; undone afterwards."""
    with conn.transaction(force_rollback=True):
        before = of_host(conn)
        job = begin_campaign(conn, shape)
        decide_on_all(conn, job, shape)
        go_out_and_come_back(conn, job, shape)
        end_and_forget(conn, job)
        assert of_host(conn) == before
        check_queue(conn)
        world.check_counters(conn)


def decide_on_all(conn: psycopg.Connection, job: UUID, shape: Shape) -> None:
    """Everything a person may do about a card, and an agent may not."""
    made = cards(conn, job)
    hashes = {key: (str(card), hash_of(conn, card)) for key, card in made.items()}
    assert blocked(conn, job) >= {"cards_in_review", "contacts_active"}
    with as_tenant(conn, A):
        shown = {each["content"]["contact_id"]: each for each in rows(conn, "table review_queue")}
        assert shown.keys() == set(PEOPLE)
        for key, each in shown.items():
            assert (each["card_id"], each["content_hash"]) == hashes[key]
            assert (each["content"], each["missing"], each["job_id"]) == (mail(key), [], job)
        assert decide(conn, "approve", made["ann"]) == {str(made["ann"]): "ok"}
        edit = {"expected_hash": hashes["bob"][1], "content": Jsonb(mail("bob", "edited"))}
        assert review(conn, made["bob"], **edit) == "ok"
        assert decide(conn, "reject", made["cid"], comment="no") == {str(made["cid"]): "ok"}
        assert review(conn, made["dan"], "redraft", comment="kinder") == "ok"
        for key in ("eve", "fay"):
            conn.execute("update kanban_cards set state = 'approved' where id = %s", [made[key]])
    assert sequence(conn, job, "cid") == ("stopped", "rejected", None)
    write(conn, shape)
    anew = cards(conn, job)["dan"]
    assert anew != made["dan"]
    with as_service(conn):
        with refused(conn, "JB003", "cannot be approved by nobody"):
            move_card(conn, anew, "approved")
        assert review(conn, anew, reviewer=MEMBER) == "ok"
    assert queue(conn) == []
    found = conn.execute(
        "select decision, count(*), array_agg(distinct reviewer) from jobsdb.card_reviews"
        " where job_id = %s group by decision order by 1",
        [job],
    )
    assert found.fetchall() == [("approved", 5, [A, MEMBER]), ("rejected", 2, [A])]


def go_out_and_come_back(conn: psycopg.Connection, job: UUID, shape: Shape) -> None:
    """The first e-mails go out, some answer, and the second are written to the others only."""
    expected = {key: mail(key, "edited" if key == "bob" else None) for key in PEOPLE}
    del expected["cid"]
    assert deliver(conn) == {
        key: (each["to"], each["subject"], each["body"]) for key, each in expected.items()
    }
    assert state_of(conn, cards(conn, job)["cid"]) == "rejected"
    assert deliver(conn) == {}
    assert report(conn, send_of(conn, job, "eve"), "reply") == "ok"
    assert report(conn, send_of(conn, job, "fay"), "unsubscribe") == "ok"
    assert report(conn, send_of(conn, job, "fay"), "unsubscribe") == "known"
    assert sequence(conn, job, "eve") == ("stopped", "reply", None)
    assert settled(conn, job) == "running"
    assert "contacts_active" in blocked(conn, job)
    assert plan(conn, job) == 0

    later(conn, 4)
    tick(conn)
    assert plan(conn, job) > 0
    write(conn, shape)
    with as_tenant(conn, A):
        ids = queue(conn)
        assert set(decide(conn, "approve", *ids).values()) == {"ok"}
    assert deliver(conn).keys() == {"ann", "bob", "dan"}


def end_and_forget(conn: psycopg.Connection, job: UUID) -> None:
    """The job has succeeded; a contact is told and forgotten, and in the end all texts are."""
    assert settled(conn, job) == "succeeded"
    assert blocked(conn, job) == set()
    metrics = row(conn, "select * from job_metrics_live where job_id = %s", job)
    assert (metrics["status"], metrics["emails_sent"], metrics["cards_done"]) == ("succeeded", 8, 8)
    assert metrics["cards_by_type"] == {"draft_email": {"done": 8, "rejected": 2}}

    of_ann = "select to_jsonb(the_row) from kanban_cards as the_row where job_id = %s and"
    of_ann += " content::jsonb ->> 'contact_id' = 'ann' order by id"
    before = column(conn, of_ann, job)
    with as_tenant(conn, A):
        told = one(conn, "select export_contact(%s, 'ann')", A)
    assert [send["subject"] for send in told["sends"]] == ["Hello ann", "Hello ann"]
    made_by_us = one(
        conn, "select made_by_jobsdb from jobsdb.host_tables where table_name = 'kanban_cards'"
    )
    told = erase(conn, "ann")
    left = [] if made_by_us else [str(card["id"]) for card in before]
    assert (told["sends"], told["cards"]) == (2, 2)
    assert sorted(told["cards_of_the_host"]) == sorted(left)
    assert column(conn, of_ann, job) == ([] if made_by_us else before)

    later(conn, 400)
    with as_service(conn):
        pruned = [one(conn, "select jobsdb.prune_history('1 year', 5)") for _ in range(30)]
    assert pruned[0] == 5
    assert pruned[-1] == 0
    kept = conn.execute("select distinct state, subject, body from jobsdb.sends").fetchall()
    assert kept == [("sent", None, None)]
    assert one(conn, "select count(*) from jobsdb.sends") == 8


@pytest.mark.parametrize("shape", params(SHAPES | AWKWARD))
def test_a_whole_campaign_runs_over_the_cards_of_a_host(
    host: psycopg.Connection, shape: Shape
) -> None:
    install(host, shape.table)
    live_through(host, shape)


def test_an_approval_holds_while_the_host_changes_what_nobody_has_approved(
    host: psycopg.Connection,
) -> None:
    """With a generated title, too, which a BEFORE trigger sees as null."""
    install(host, with_column("mood text").replace("title text", f"{TITLE} stored"))
    made = own_card(host, world.new_job(host), content=mail("ann"))
    with as_tenant(host, A):
        move_card(host, made, "approved")
        host.execute("update kanban_cards set mood = 'glad'")
    assert state_of(host, made) == "approved"


# ------------------------------------------------------------------------- hosts that are refused

REFUSED = {
    "an enum that lacks rejected": (ENUM.replace("'rejected', ", ""), "has no label rejected"),
    "an enum that lacks in_review": (
        ENUM.replace("'todo', 'in_review'", "'todo'").replace("'in_review'", "'todo'"),
        "has no label in_review",
    ),
    "an enum that lacks the rest": (
        ENUM.replace(", 'approved', 'rejected', 'done'", ""),
        "has no label approved; public.kanban_cards.state has no label done;",
    ),
    "state is missing": (PLAIN.replace("state text", "status text"), "has no column state"),
    "title is missing": (PLAIN.replace("title text", "headline text"), "has no column title"),
    "state is in upper case": (PLAIN.replace("state text", '"State" text'), "no column state"),
    "content is text": (PLAIN.replace("content jsonb", "content text"), "text, not jsonb"),
    "a check that lacks rejected": (CHECKED.replace("'rejected', ", ""), "does not take rejected"),
    "a check that lacks done": (CHECKED.replace(", 'done'", ""), "does not take done"),
    "ids that are unique in their organisation only": (
        PLAIN.replace("id uuid primary key default gen_random_uuid()", "id bigint").replace(
            "content jsonb", "content jsonb, primary key (org_id, id)"
        ),
        "id is unique only together with other columns",
    ),
    "a title that is generated when it is read": (
        PLAIN.replace("title text", f"{TITLE} virtual"),
        "title is virtual",
    ),
}


@pytest.mark.parametrize(("shape", "reason"), params(REFUSED))
def test_migrate_names_what_is_wrong_with_a_host_and_changes_nothing(
    empty_url: str, shape: str, reason: str
) -> None:
    with psycopg.connect(empty_url, autocommit=True) as conn:
        if "virtual" in shape and conn.info.server_version < 180000:
            pytest.skip("PostgreSQL 18 has virtual columns")
        world.make_prerequisites(conn)
        conn.execute(shape + RUNS)
    before = commands.catalog(empty_url)
    found = commands.run("migrate", "--database", empty_url)
    assert found.returncode == Exit.REFUSED, found.stderr
    assert "tables cannot carry the links to jobs" in found.stderr
    assert reason in " ".join(found.stderr.split())
    assert commands.catalog(empty_url) == before


# ---------------------------------------------------------------- triggers, policies, and changes

STAMPED = with_column("updated_at timestamptz, version int default 0")
TRIGGERS = {
    "normalises the content": "new.content := jsonb_strip_nulls(new.content);",
    "stamps columns of its own": (
        "new.updated_at := clock_timestamp(); new.version := new.version + 1;"
    ),
}
SPOILERS = {
    "writes the state into the title": "new.title := 'now ' || new.state;",
    "forbids done": "if new.state = 'done' then raise exception 'the host says no'; end if;",
}


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
@pytest.mark.parametrize("body", params(SPOILERS))
def test_an_e_mail_that_has_gone_out_is_settled_whatever_triggers_the_host_has(
    host: psycopg.Connection, body: str, name: str
) -> None:
    install(host, STAMPED)
    host.execute(HOST_TRIGGER.format(body, name))
    job = begin_campaign(host, PLAINLY)
    with as_tenant(host, A):
        assert set(decide(host, "approve", *queue(host)).values()) == {"ok"}
    for send in claim(host):
        assert begin(host, send)["verdict"] == "ok"
        assert settle(host, send) == "ok"
    assert column(host, "select state from jobsdb.sends") == ["sent"] * 6
    assert {sequence(host, job, key) for key in PEOPLE} == {("active", None, 1)}
    world.check_counters(host)


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
@pytest.mark.parametrize("body", params(TRIGGERS))
def test_a_whole_campaign_runs_beside_a_trigger_of_the_host(
    host: psycopg.Connection, body: str, name: str
) -> None:
    install(host, STAMPED)
    host.execute(HOST_TRIGGER.format(body, name))
    live_through(host, PLAINLY)


def test_a_card_the_host_does_not_let_go_keeps_nobody_else_waiting(
    host: psycopg.Connection,
) -> None:
    install(host, PLAIN)
    held = own_card(host, world.new_job(host, review_ttl=1), title="held")
    other = own_card(host, world.new_job(host, B, review_ttl=1), org_id=B)
    holds = "if new.title = 'held' then raise exception 'the host says no'; end if;"
    host.execute(HOST_TRIGGER.format(holds, "zzz_last"))
    host.execute("update jobsdb.waiting_cards set since = since - interval '1 day'")
    tick(host)
    assert (state_of(host, held), state_of(host, other)) == ("in_review", "rejected")


POLICIES = """
alter table public.kanban_cards enable row level security;
create policy mine on public.kanban_cards to authenticated using (org_id = auth.uid());
create policy backend on public.kanban_cards to service_role using (true);
"""
HIDES = """
create policy hides on public.kanban_cards as restrictive for select to authenticated
using (title not like '%bob%');
"""


def test_a_person_decides_nothing_about_what_the_host_hides_and_it_still_counts(
    host: psycopg.Connection,
) -> None:
    install(host, PLAIN + POLICIES + HIDES)
    job = begin_campaign(host, PLAINLY)
    made = cards(host, job)
    bob = made.pop("bob")
    hashed = hash_of(host, bob)
    with as_tenant(host, A):
        assert set(queue(host)) == {str(card) for card in made.values()}
        for decision in ("approve", "reject", "redraft"):
            assert decide(host, decision, bob, shown=[hashed]) == {str(bob): "not_found"}
        host.execute("update kanban_cards set state = 'approved' where id = %s", [bob])
        assert decide(host, "approve", made["ann"]) == {str(made["ann"]): "ok"}
        assert len(rows(host, "select * from get_job_cards(%s)", job)) == 5
        (waiting,) = rows(
            host, "select * from job_blockers(%s) where what = 'cards_in_review'", job
        )
    assert state_of(host, bob) == "in_review"
    assert waiting["items"] == 5
    with as_service(host):
        assert set(queue(host)) == {str(bob), *(str(made[key]) for key in made if key != "ann")}
        assert review(host, bob, reviewer=MEMBER) == "ok"
    assert deliver(host).keys() == {"ann", "bob"}
    told = erase(host, "bob")
    assert told["cards_of_the_host"] == [str(bob)]
    world.check_counters(host)


MIDDLE = {
    "state becomes an enum": (
        "create type card_state as enum ('todo', 'in_review', 'approved', 'rejected', 'done');"
        " alter table kanban_cards alter state drop default,"
        " alter state type card_state using state::card_state,"
        " alter state set default 'in_review'"
    ),
    "content becomes json": "alter table kanban_cards alter content type json",
    "columns come and go": (
        "alter table kanban_cards drop mood, add board int not null default 1,"
        " add loud text generated always as (upper(title)) stored"
    ),
    "words become shorter": (
        "alter table kanban_cards alter type type varchar(50), alter state type varchar(30),"
        " alter title type varchar(99)"
    ),
    "a default of its own": "alter table kanban_cards alter state set default 'todo'",
    "policies": POLICIES,
    "a trigger": HOST_TRIGGER.format("new.mood := 'touched';", "zzz_last"),
}


@pytest.mark.parametrize("change", params(MIDDLE))
def test_the_host_changes_its_table_in_the_middle_of_a_campaign(
    host: psycopg.Connection, change: str
) -> None:
    """A card in review, one approved, one with a worker, one at its provider; in two sessions."""
    install(host, with_column("mood text"))
    with psycopg.connect(
        host.info.dsn, host=host.info.host, port=host.info.port, autocommit=True
    ) as agent:
        live_through(agent, PLAINLY)
        live_through(host, PLAINLY)
        job = begin_campaign(agent, PLAINLY)
        made = cards(agent, job)
        with as_tenant(agent, A):
            decide(agent, "approve", *(made[key] for key in ("ann", "bob", "cid")))
        asked, held = claim(agent, 2)
        assert begin(agent, asked)["verdict"] == "ok"
        host.execute(change)
        assert settle(agent, asked) == "ok"
        assert begin(agent, held)["verdict"] == "ok"
        assert settle(agent, held) == "ok"
        with as_tenant(agent, A):
            assert decide(agent, "approve", made["dan"]) == {str(made["dan"]): "ok"}
            assert review(agent, made["eve"], content=Jsonb(mail("eve", "edited"))) == "ok"
            move_card(agent, made["fay"], "approved")
        sent = deliver(agent)
        assert sent.keys() | {asked["contact_key"], held["contact_key"]} == set(PEOPLE)
        assert sent["eve"][1] == "edited"
        assert {state_of(host, card) for card in made.values()} == {"done"}
        check_queue(host)
        world.check_counters(host)
        for table in ("kanban_cards", "jobs", "jobsdb.sends"):
            host.execute(f"delete from {table}")
        live_through(host, PLAINLY)
        live_through(agent, PLAINLY)


def test_content_that_has_become_text_goes_out_to_nobody_and_keeps_the_job_open(
    host: psycopg.Connection,
) -> None:
    install(host, PLAIN)
    job = begin_campaign(host, PLAINLY)
    host.execute("alter table kanban_cards alter content type text")
    with as_tenant(host, A):
        host.execute("update kanban_cards set state = 'approved' where job_id = %s", [job])
        blockers = column(host, "select what from job_blockers(%s)", job)
    assert deliver(host) == {}
    assert "cards_approved" in blockers


def test_without_the_title_that_was_approved_nothing_goes_out_until_somebody_approves_again(
    host: psycopg.Connection,
) -> None:
    install(host, PLAIN)
    job = begin_campaign(host, PLAINLY)
    made = cards(host, job)
    with as_tenant(host, A):
        decide(host, "approve", *made.values())
    asked, held = claim(host, 2)
    begin(host, asked)
    host.execute("alter table kanban_cards drop column title")
    assert settle(host, asked) == "ok"
    assert begin(host, held)["verdict"] == "cancelled"
    assert claim(host) == []
    tick(host)
    assert [state_of(host, made[key]) for key in PEOPLE] == ["done", *["rejected"] * 5]
    with as_tenant(host, A):
        for step in ("in_review", "approved"):
            move_card(host, made["bob"], step)
    assert deliver(host).keys() == {"bob"}
    with refused(host, "42703", "title"):
        begin_campaign(host, PLAINLY)
    world.check_counters(host)


@pytest.mark.parametrize("how", ["delete from kanban_cards", "truncate kanban_cards"])
def test_a_host_that_clears_its_cards_away_ends_what_they_were_for(
    host: psycopg.Connection, how: str
) -> None:
    install(host, PLAIN)
    job = begin_campaign(host, PLAINLY)
    with as_tenant(host, A):
        decide(host, "approve", *queue(host)[:3])
    asked, held = claim(host, 2)
    begin(host, asked)
    host.execute(how)
    assert begin(host, held)["verdict"] == "cancelled"
    assert settle(host, asked) == "ok"
    assert claim(host) == []
    assert queue(host) == []
    later(host, 4)
    assert plan(host, job) > 0
    write(host, PLAINLY)
    assert cards(host, job).keys() == {asked["contact_key"]}
    with as_tenant(host, A):
        decide(host, "approve", *queue(host))
    assert deliver(host).keys() == {asked["contact_key"]}
    assert settled(host, job) == "succeeded"
    check_queue(host)
    world.check_counters(host)


# ------------------------------------------------------ an agent, and what test_review.py lacks

BOARD = """
create view public.board {} as select * from public.kanban_cards;
grant all on public.board to service_role;
"""
ON_A_VIEW = "update board set state = 'approved' where id = %(card)s"
OFF = """params = '{"review_mode": false}'"""
# What the host has, and what an agent tries.
ATTACKS = {
    "a view of the host": (BOARD.format(""), [ON_A_VIEW]),
    "a view that runs as its caller": (
        BOARD.format("with (security_invoker = true)"), [ON_A_VIEW],
    ),
    "inserting into a view": (
        BOARD.format(""),
        [
            "insert into board (org_id, job_id, type, state, content)"
            " values (%(org)s, %(job)s, 'send_email', 'approved', %(evil)s)"
        ],
    ),
    "a definer function of the host that reviews": (
        "create function public.host_review(text) returns text language sql security definer"
        " as $$ select public.review_card($1, 'approve') $$",
        ["select host_review(%(card)s::text)"],
    ),
    "a definer trigger on a table of the host": (
        "create table public.votes (card text); grant insert on public.votes to service_role;"
        "create function public.vote() returns trigger language plpgsql security definer as $$"
        " begin update public.kanban_cards set state = 'approved' where id::text = new.card;"
        " return new; end $$;"
        "create trigger vote after insert on public.votes for each row"
        " execute function public.vote()",
        ["insert into votes values (%(card)s)"],
    ),
    "a state only the host knows": (
        "", [UPDATE.format("state = 'todo'"), UPDATE.format("state = 'approved'")],
    ),
    "a setting for expiry": ("", ["select set_config('jobsdb.expiring', 'on', true)", APPROVE]),
    "switching review off by merge": (
        "",
        [
            "merge into jobs as j using (select %(job)s::uuid as id) as w on j.id = w.id"
            f" when matched then update set {OFF}"
        ],
    ),
    "switching review off in the same statement": (
        "",
        [
            f"with off as (update jobs set {OFF} where id = %(job)s returning id)"
            " update kanban_cards set state = 'approved' where job_id in (select id from off)"
        ],
    ),
    "a copy of what was approved": (
        "",
        [
            "insert into kanban_cards (org_id, job_id, type, title, state, content)"
            " select org_id, job_id, type, title, state, content from kanban_cards"
            " where id = %(approved)s"
        ],
    ),
    "all cards at once": ("", ["update kanban_cards set state = 'approved'"]),
    "constraints that wait": ("", ["set constraints all deferred", APPROVE]),
    "the task of an approved card": (
        "",
        ["update kanban_cards set task_id = %(task)s where job_id = %(job)s", APPROVE],
    ),
}  # fmt: skip


Scene = tuple[psycopg.Connection, dict[str, Any]]


@pytest.fixture(params=["", PLAIN], ids=["ours", "a host's"])
def scene(request: pytest.FixtureRequest, host: psycopg.Connection) -> Iterator[Scene]:
    """A job with a card in review and one that a person has approved."""
    install(host, request.param)
    job = world.new_job(host)
    made = own_card(host, job, content=mail("eve"))
    approved = own_card(host, job, content=mail("ann"))
    with as_tenant(host, A):
        move_card(host, approved, "approved")
    names = {"job": job, "card": made, "approved": approved, "org": A, "evil": Jsonb(mail("eve"))}
    yield host, {**names, "task": world.new_task(host, job)}
    assert column(host, UNSEEN) == []
    assert set(going_out(host, job)) <= {("ann@example.com", "Hello ann")}
    assert state_of(host, made) != "approved"


@pytest.mark.parametrize(("made", "attack"), params(ATTACKS))
def test_an_agent_does_not_approve_its_own_card_by(
    scene: Scene, made: str, attack: list[str]
) -> None:
    conn, names = scene
    if made:
        conn.execute(made)
    *steps, last = attack
    with as_service(conn):
        for step in steps:
            conn.execute(step, names)
        with refused(conn, "JB003"):
            conn.execute(last, names)


def test_a_definer_function_of_the_host_makes_a_person_of_nobody(scene: Scene) -> None:
    conn, names = scene
    conn.execute(
        "create function public.host_review(text, uuid) returns text language sql security definer"
        " as $$ select public.review_card($1, 'approve', $2) $$"
    )
    call = "select host_review(%s, %s)"
    for who, reviewer, code in (
        (world.as_nobody(conn), A, "JB003"),
        (as_anon(conn), A, "JB003"),
        (as_service(conn), B, "JB003"),
        (as_tenant(conn, B), A, "JB003"),
        (as_tenant(conn, B), None, "JB020"),
    ):
        with who, refused(conn, code):
            conn.execute(call, [str(names["card"]), reviewer])


def outcomes_of(conn: psycopg.Connection, send_id: int, token: UUID | None) -> set[str]:
    """What settle_send says to every outcome."""
    send = {"id": send_id, "lease_token": token}
    return {settle(conn, send, told) for told in ("sent", "failed", "retry")}


def test_nothing_goes_out_by_settling_what_was_not_begun(scene: Scene) -> None:
    conn, names = scene
    (send,) = rows(conn, "table jobsdb.sends")
    (held,) = claim(conn)
    others = [None, UUID(int=0)]
    with as_service(conn):
        for token in others:
            told = row(conn, "select * from begin_send(%s, %s)", send["id"], token)
            assert (told["verdict"], told["recipient"]) == ("revoked", None)
            assert one(conn, "select verdict from begin_send(999, %s)", token) == "not_found"
        for token in (*others, held["lease_token"]):
            assert outcomes_of(conn, send["id"], token) == {"revoked"}
        for change in ("state = 'sent'", "body = 'evil'", "content_hash = 'x'"):
            with refused(conn, "42501"):
                conn.execute(f"update jobsdb.sends set {change}")
    assert row(conn, "table jobsdb.sends") == held
    begin(conn, held)
    for token in others:
        assert outcomes_of(conn, send["id"], token) == {"revoked"}
    assert one(conn, "select state from jobsdb.sends") == "dispatching"
    assert state_of(conn, names["approved"]) == "approved"
