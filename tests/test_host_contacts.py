"""Contacts in a table or view of the host: read as they are, and missed when they are gone."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from helpers import as_tenant, new_database, refused
from jobsdb.check import verify
from jobsdb.local import Server
from test_campaigns import BIND, add, campaign, person, plan, reasons, without_a_trace
from test_host_campaigns import PLAINLY, TWO, deliver, params, report, write
from test_host_tables import PLAIN
from test_privacy import erase
from test_review import decide, install, queue
from test_sends import MAIL, later, send_of, settled
from world import A, column, one

CONTACTS = f"""
create table public."Folk" (
  "Person" uuid primary key default gen_random_uuid(),
  tenant uuid,
  "E-Mail" text,
  "Klub" varchar(9),
  "zone name" text,
  first_name text,
  age int,
  data jsonb
);
insert into public."Folk" (tenant, "E-Mail", "Klub", "zone name", first_name, age)
select '{A}', name || '@example.com', 'AMC', 'Europe/Berlin', initcap(name), 30
from unnest(array['ann', 'bob']) as name;
"""
VIEW = """
create view public."All folk" as select "Person" as "the Key", tenant as org_id,
"E-Mail" as email, array["Klub"] as "Groups", "zone name" as zone,
jsonb_build_object('first_name', first_name, 'age', age) as "More" from public."Folk";
"""
SOURCES = {
    "a table": (
        CONTACTS,
        "'public.\"Folk\"', 'Person', 'E-Mail', 'tenant', 'Klub', null, 'zone name'",
    ),
    "a view": (
        CONTACTS + VIEW,
        "'public.\"All folk\"', 'the Key', groups_column => 'Groups', attributes_column => 'More',"
        " time_zone_column => 'zone'",
    ),
}
TEXTS = {"subject": "Hello {{first_name}}", "body": "{{age}}"}
OF_HOST: dict[str, Any] = {
    **TWO,
    "target_filter": {"age": 30},
    "templates": {"intro": TEXTS, "followup1": TEXTS},
}


Bound = tuple[psycopg.Connection, dict[str, str]]


@pytest.fixture
def bound(request: pytest.FixtureRequest, server: Server) -> Iterator[Bound]:
    """A host whose contacts are bound; the keys of the contacts."""
    made, call = SOURCES[getattr(request, "param", "a table")]
    with (
        new_database(server) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        install(conn, PLAIN)
        conn.execute(made)
        conn.execute(BIND.format(call))
        found = conn.execute('select lower(first_name), "Person"::text from public."Folk"')
        yield conn, dict(found.fetchall())


def go_out(conn: psycopg.Connection) -> dict[str, tuple[str, str, str]]:
    """What is planned is drafted, approved and sent."""
    write(conn, PLAINLY)
    with as_tenant(conn, A):
        decide(conn, "approve", *queue(conn))
    return deliver(conn)


@pytest.mark.parametrize("bound", SOURCES, indirect=True)
def test_a_campaign_runs_over_contacts_of_the_host_until_one_is_forgotten(bound: Bound) -> None:
    conn, keys = bound
    job = campaign(conn, A, "running", **OF_HOST)
    assert go_out(conn) == {
        key: (f"{name}@example.com", f"Hello {name.title()}", "30") for name, key in keys.items()
    }
    zones = column(conn, "select time_zone from jobsdb.job_contacts where job_id = %s", job)
    assert zones == ["Europe/Berlin"] * 2
    assert report(conn, send_of(conn, job, keys["bob"]), "unsubscribe") == "ok"
    with as_tenant(conn, A):
        told = one(conn, "select export_contact(%s, %s)", A, keys["ann"])
    assert (told["contact"], len(told["jobs"]), len(told["sends"])) == (None, 1, 1)
    erased = erase(conn, keys["ann"])
    assert (erased["addresses"], erased["jobs"], len(erased["cards_of_the_host"])) == (1, 1, 1)
    assert one(conn, 'select count(*) from public."Folk"') == 2
    assert set(reasons(conn, campaign(conn, **OF_HOST)).values()) == {"suppressed"}
    assert settled(conn, job) == "succeeded"


def test_who_is_forgotten_before_any_campaign_is_not_written_to_later(bound: Bound) -> None:
    conn, keys = bound
    erase(conn, keys["ann"])
    assert reasons(conn, campaign(conn, **OF_HOST)) == {
        keys["ann"]: "suppressed",
        keys["bob"]: None,
    }


NOTHING = {"nothing": "{}", "NULL": None, **{given: given for given in ("null", "[]", '"x"')}}


@pytest.mark.parametrize("given", params(NOTHING))
def test_attributes_that_are_no_object_take_nothing_away(bound: Bound, given: str | None) -> None:
    conn, keys = bound
    conn.execute("update public.\"Folk\" set data = %s where first_name = 'Ann'", [given])
    conn.execute(BIND.format(SOURCES["a table"][1].replace("null", "'data'")))
    campaign(conn, A, "running", templates={"intro": MAIL})
    write(conn, PLAINLY)
    found = column(conn, "select content ->> 'subject' from kanban_cards order by 1")
    assert found == sorted(f"Hello {key}" for key in keys.values())


FOLK = 'alter table public."Folk" '
# What happens to it, and what the refusal names.
GONE = {
    "the table is dropped": ('drop table public."Folk" cascade', "Folk"),
    "the table is renamed": (FOLK + "rename to others", "Folk"),
    "the table is moved": (FOLK + "set schema auth", "Folk"),
    "the organisation is dropped": (FOLK + "drop tenant", "tenant"),
    "the organisation is renamed": (FOLK + "rename tenant to t", "tenant"),
    "the organisation is text": (FOLK + "alter tenant type text", "uuid"),
    "the key is dropped": (FOLK + 'drop "Person"', "Person"),
    "the key is renamed": (FOLK + 'rename "Person" to p', "Person"),
    "groups are dropped": (FOLK + 'drop "Klub"', "Klub"),
    "groups are numbers": (FOLK + 'alter "Klub" type int using 5', "Klub"),
    "the address is dropped": (FOLK + 'drop "E-Mail"', "E-Mail"),
    "the time zone is dropped": (FOLK + 'drop "zone name"', "zone"),
}


def check_refused(conn: psycopg.Connection, named: str) -> None:
    """No campaign can be created, the refusal names what is amiss, and nothing is half done."""
    with without_a_trace(conn):
        with pytest.raises(psycopg.Error) as info, conn.transaction():
            campaign(conn, **{**OF_HOST, "target_filter": None})
        diag = info.value.diag
        assert named in f"{diag.message_primary} {diag.message_detail}"


@pytest.mark.parametrize(("change", "named"), params(GONE))
def test_a_source_that_has_changed_refuses_new_campaigns_and_old_ones_go_on(
    bound: Bound, change: str, named: str
) -> None:
    conn, keys = bound
    job = campaign(conn, A, "running", **OF_HOST)
    conn.execute(change)
    check_refused(conn, named)
    assert go_out(conn).keys() == set(keys.values())
    later(conn, 4)
    assert plan(conn, job) > 0
    assert go_out(conn).keys() == set(keys.values())
    assert settled(conn, job) == "succeeded"
    conn.execute(BIND.format("null"))
    add(conn, person("ours"))
    assert reasons(conn, campaign(conn)) == {"ours": None}


def test_other_columns_of_a_source_come_and_go(bound: Bound) -> None:
    conn, keys = bound
    for change in ("drop first_name", "add size int default 5", "alter age type text"):
        conn.execute(FOLK + change)
        assert set(reasons(conn, campaign(conn))) == set(keys.values())
    job = campaign(conn, target_filter={"age": "30", "size": 5})
    assert set(reasons(conn, job)) == set(keys.values())


def test_a_source_may_have_a_column_of_any_name(bound: Bound) -> None:
    conn, keys = bound
    conn.execute(FOLK + "add h int default 170")
    assert set(reasons(conn, campaign(conn))) == set(keys.values())


@pytest.mark.parametrize("bound", ["a view"], indirect=True)
def test_a_view_is_bound_again_when_the_host_has_made_another(bound: Bound) -> None:
    conn, keys = bound
    with refused(conn, "2BP01"):
        conn.execute(FOLK + 'drop "Klub"')
    conn.execute('drop view public."All folk"')
    check_refused(conn, "All folk")
    with refused(conn, "JB092", "cannot be bound as contacts"):
        conn.execute(BIND.format("'public.\"Folk\"'"))
    check_refused(conn, "All folk")
    for mended in (VIEW, BIND.format(SOURCES["a table"][1])):
        conn.execute(mended)
        assert set(reasons(conn, campaign(conn, **OF_HOST))) == set(keys.values())


def test_verify_names_a_source_that_is_gone(db: psycopg.Connection) -> None:
    db.execute(CONTACTS)
    db.execute(BIND.format(SOURCES["a table"][1]))
    db.execute('drop table public."Folk"')
    found = [each for result in verify.examine(db) for each in result.findings]
    assert [each.object for each in found if "Folk" in each.object]
