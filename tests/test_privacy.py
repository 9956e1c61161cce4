"""What is forgotten, what is told about a contact, and what an agent's work may cost."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

import world
from helpers import as_service, as_tenant, refused
from test_campaigns import add, person
from test_sends import approve, begin, cards, claim, deliver, drafted, queued, tick
from world import A, B, column, move_card, one, outcome, row, rows

SECRET = "ann-the-secret"
ADDRESS = f"{SECRET}@example.com"
TWO: dict[str, Any] = {"cadence": {"day0": "intro", "day4": "intro"}}


def ann() -> dict[str, Any]:
    return person("c1", ADDRESS, attributes={"first_name": SECRET})


def erase(conn: psycopg.Connection, key: str = "c1", org: UUID = A) -> dict[str, Any]:
    with as_tenant(conn, org):
        return one(conn, "select erase_contact(%s, %s)", org, key)


def places_of(conn: psycopg.Connection, text: str) -> set[str]:
    """The tables in which a text stands anywhere."""
    tables = column(
        conn,
        "select format('%%I.%%I', schemaname, tablename) from pg_tables"
        " where schemaname in ('public', 'jobsdb')",
    )
    found = "select exists (select from {} as t where to_jsonb(t)::text ilike %s)"
    return {table for table in tables if one(conn, found.format(table), f"%{text}%")}


def use(conn: psycopg.Connection, job: UUID, *values: object) -> str:
    with as_service(conn):
        return one(conn, f"select record_usage(%s{', %s' * len(values)})", job, *values)


# ------------------------------------------------------------------------------------------ erasure


@pytest.mark.parametrize("moment", ["enrolled", "drafted", "approved", "sent"])
def test_nothing_of_who_is_erased_is_left_in_any_table(tx: psycopg.Connection, moment: str) -> None:
    job = drafted(tx, ann(), "c2", **TWO)
    if moment in ("approved", "sent"):
        approve(tx, *cards(tx, job).values())
    if moment == "sent":
        deliver(tx)
    assert "jobsdb.job_contacts" in places_of(tx, SECRET)
    told = erase(tx)
    assert places_of(tx, SECRET) == set()
    assert (told["addresses"], told["jobs"], told["cards_of_the_host"]) == (1, 1, [])
    assert told["in_flight"] == 0
    found = row(tx, "select * from jobsdb.job_contacts where contact_key = 'c1'")
    assert (found["state"], found["reason"], found["attributes"]) == ("stopped", "erased", {})
    assert "jobsdb.job_contacts" in places_of(tx, "c2@example.com")


def test_the_ledger_of_who_is_erased_keeps_its_rows(tx: psycopg.Connection) -> None:
    queued(tx, ann(), **TWO)
    deliver(tx)
    erase(tx)
    send = row(tx, "select * from jobsdb.sends")
    assert (send["state"], send["recipient"], send["body"]) == ("sent", "erased", None)


def test_what_is_queued_for_who_is_erased_is_never_handed_out(tx: psycopg.Connection) -> None:
    queued(tx, ann())
    erase(tx)
    assert claim(tx) == []
    assert column(tx, "select state from jobsdb.sends") == ["cancelled"]


def test_an_answer_that_is_awaited_is_left_and_told(tx: psycopg.Connection) -> None:
    queued(tx, ann())
    (held,) = claim(tx)
    begin(tx, held)
    assert erase(tx)["in_flight"] == 1
    assert one(tx, "select recipient from jobsdb.sends") == ADDRESS


def test_who_is_erased_is_not_written_to_after_another_import(tx: psycopg.Connection) -> None:
    drafted(tx, ann())
    erase(tx)
    add(tx, person("again", ADDRESS.upper()))
    job = drafted(tx)
    assert rows(tx, "select contact_key, reason from dry_run_job(%s)", job) == [
        {"contact_key": "again", "reason": "suppressed"}
    ]


def test_an_erased_address_is_kept_by_one_organisation_only(tx: psycopg.Connection) -> None:
    drafted(tx, ann())
    erase(tx)
    add(tx, ann(), org=B)
    job = drafted(tx, org=B)
    assert column(tx, "select state from jobsdb.job_contacts where job_id = %s", job) == ["active"]


def test_only_an_own_contact_is_erased(tx: psycopg.Connection) -> None:
    drafted(tx, ann())
    before = places_of(tx, SECRET)
    with as_tenant(tx, B):
        assert outcome(tx, "select erase_contact(%s, 'c1')", [A]) == "JB020"
    assert erase(tx, org=B)["jobs"] == 0
    assert places_of(tx, SECRET) == before


# ------------------------------------------------------------------------------------------- export


def test_everything_about_a_contact_is_told_and_nothing_about_others(
    tx: psycopg.Connection,
) -> None:
    queued(tx, ann(), "c2", **TWO)
    deliver(tx)
    for send, key in tx.execute("select id, contact_key from jobsdb.sends").fetchall():
        with as_service(tx):
            event = "select record_send_event('p', %s, 'click', send_id => %s)"
            tx.execute(event, [f"clicked by {key}", send])
    with as_tenant(tx, A):
        told = one(tx, "select export_contact(%s, 'c1')", A)
    assert told["contact"]["email"] == ADDRESS
    assert [place["contact_key"] for place in told["jobs"]] == ["c1"]
    assert [send["recipient"] for send in told["sends"]] == [ADDRESS]
    assert [event["event"] for event in told["sends"][0]["events"]] == ["click"]
    assert "c2@example.com" not in str(told)
    assert "lease_token" not in str(told)
    with as_tenant(tx, B):
        assert one(tx, "select export_contact(%s, 'c1')", A) is None


# ---------------------------------------------------------------------------------------- retention


def test_old_texts_are_forgotten_in_bounded_steps_and_the_ledger_stays(
    tx: psycopg.Connection,
) -> None:
    queued(tx, ann(), "c2", "c3")
    deliver(tx)
    prune = "select jobsdb.prune_history('1 year', 2)"
    with as_service(tx):
        assert one(tx, prune) == 0
    tx.execute("update jobsdb.sends set settled_at = now() - interval '2 years'")
    with as_service(tx):
        assert [one(tx, prune) for _ in range(3)] == [2, 1, 0]
    assert column(tx, "select distinct state from jobsdb.sends where body is null") == ["sent"]
    assert one(tx, "select count(*) from jobsdb.sends") == 3


def test_history_of_open_jobs_is_not_forgotten(tx: psycopg.Connection) -> None:
    world.new_job(tx, status="cancelled")
    still_open = world.new_job(tx)
    tx.execute("update jobsdb.events set happened_at = now() - interval '2 years'")
    with as_service(tx):
        tx.execute("select jobsdb.prune_history('1 year')")
    assert column(tx, "select distinct job_id from jobsdb.events") == [still_open]


@pytest.mark.parametrize("given", ["null", "'0'", "'-1 day'", "'1 day', 0"])
def test_nonsense_prunes_nothing(tx: psycopg.Connection, given: str) -> None:
    with as_service(tx), refused(tx, "JB011", "nothing can be pruned by that"):
        tx.execute(f"select jobsdb.prune_history({given})")


# ------------------------------------------------------------------------------------------- budget


def test_a_job_whose_budget_is_spent_hands_out_nothing_more(tx: psycopg.Connection) -> None:
    job = world.new_job(tx, budget={"max_cost": 10, "max_tokens": 1000})
    world.new_task(tx, job)
    assert use(tx, job, 4, 100, 100) == "ok"
    assert use(tx, job, 6) == "budget_spent"
    assert one(tx, "select paused_at is not null from jobs where id = %s", job)
    with as_service(tx):
        assert rows(tx, "select * from claim_tasks('w')") == []
    with as_tenant(tx, A), refused(tx, "JB050", "its budget is spent"):
        tx.execute("select resume_job(%s)", [job])
    tx.execute(
        "update jobs set params = %s where id = %s",
        [Jsonb({"budget": {"max_cost": 20, "max_tokens": 1000}}), job],
    )
    with as_tenant(tx, A):
        tx.execute("select resume_job(%s)", [job])
    assert use(tx, job, 0, 400, 399) == "ok"
    assert use(tx, job, 0, 0, 1) == "budget_spent"
    assert row(tx, "select cost, tokens_in, tokens_out from jobsdb.job_usage") == {
        "cost": 10, "tokens_in": 500, "tokens_out": 500,
    }  # fmt: skip


def test_without_a_budget_usage_is_only_noted(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    assert use(tx, job, 1_000_000) == "ok"
    assert one(tx, "select paused_at from jobs where id = %s", job) is None


@pytest.mark.parametrize("values", [(-1,), (0, -1), (None,), ("NaN",), ("Infinity",)])
def test_impossible_usage_is_refused(tx: psycopg.Connection, values: tuple[object, ...]) -> None:
    job = world.new_job(tx)
    with as_service(tx), refused(tx, "JB011", "usage cannot be negative or unknown"):
        tx.execute(f"select record_usage(%s{', %s' * len(values)})", [job, *values])
    assert one(tx, "select count(*) from jobsdb.job_usage") == 0


# ------------------------------------------------------------------------------------------- expiry


def test_what_nobody_decides_in_time_is_rejected_and_says_so(tx: psycopg.Connection) -> None:
    job = drafted(tx, "c1", "c2", review_ttl=72, **TWO)
    with as_tenant(tx, A):
        move_card(tx, cards(tx, job)["c2"], "approved")
    assert tick(tx)["expired"] == 0
    tx.execute("update jobsdb.waiting_cards set since = now() - interval '73 hours'")
    assert tick(tx)["expired"] == 1
    assert rows(
        tx,
        "select content ->> 'contact_id' as who, state from kanban_cards order by 1",
    ) == [{"who": "c1", "state": "rejected"}, {"who": "c2", "state": "approved"}]
    assert row(
        tx, "select comment, reviewer from jobsdb.card_reviews where decision = 'rejected'"
    ) == {"comment": "expired", "reviewer": None}
    assert one(tx, "select reason from jobsdb.job_contacts where contact_key = 'c1'") == "expired"
    assert tick(tx)["expired"] == 0


def test_without_a_time_to_live_a_card_waits_for_ever(tx: psycopg.Connection) -> None:
    drafted(tx, "c1")
    tx.execute("update jobsdb.waiting_cards set since = now() - interval '10 years'")
    assert tick(tx)["expired"] == 0
