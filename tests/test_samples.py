"""The sample campaigns: how each stands, whom they leave alone, and what time brings to them."""

from collections import Counter
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

import stepping
from helpers import as_service, as_tenant, new_database
from jobsdb import errors
from jobsdb.campaigns import samples, seed
from jobsdb.check import verify
from jobsdb.deploy.migrate import migrate
from test_seed import AMC, MESSY, NAMES, RENEWALS, TEST, A, B, contents, one, without_time
from world import column, row, rows

MAILS = [name for name in NAMES if name != "portal-access-audit"]


@pytest.fixture
def loaded(url: str, db: psycopg.Connection) -> psycopg.Connection:
    """Return a connection to a database with all samples."""
    assert seed.run(url) == 0
    return db


def sends(db: psycopg.Connection, job: str) -> dict[tuple[str, str], int]:
    """The number of sends by touch and state."""
    read = "select s.touch, s.state from jobsdb.sends as s where s.job_id = %s"
    return dict(Counter(db.execute(read, (job,)).fetchall()))


def audience(db: psycopg.Connection, job: str) -> dict[str, int]:
    """The number of contacts by the reason that keeps them out; `in` for the others."""
    read = "select coalesce(c.reason, 'in') from jobsdb.job_contacts as c where c.job_id = %s"
    return dict(Counter(column(db, read, job)))


def events(db: psycopg.Connection, job: str) -> dict[str, int]:
    read = (
        "select e.event from jobsdb.send_events as e"
        " inner join jobsdb.sends as s on s.id = e.send_id where s.job_id = %s"
    )
    return dict(Counter(column(db, read, job)))


def metrics(db: psycopg.Connection, job: str) -> dict:
    return row(db, "select * from public.job_metrics where job_id = %s", job)


def test_a_database_with_samples_verifies_clean(loaded: psycopg.Connection) -> None:
    assert {result.word for result in verify.examine(loaded)} == {"ok"}
    assert loaded.execute(stepping.WRONG_AT_REST).fetchall() == []


def test_amc_has_answers_a_bounce_a_rejection_and_an_edit(loaded: psycopg.Connection) -> None:
    assert audience(loaded, AMC) == {"in": 20, "reply": 3, "bounce_hard": 1, "rejected": 1}
    assert sends(loaded, AMC) == {("0", "sent"): 24, ("1", "queued"): 3}
    assert events(loaded, AMC) == {
        "delivered": 23, "bounce_hard": 1, "reply": 3, "auto_reply": 1,
        "open_human": 4, "open_machine": 2, "click": 1,
    }  # fmt: skip
    subject = (
        "select s.subject from jobsdb.sends as s where s.contact_key like %s and s.touch = '0'"
    )
    assert one(loaded, subject, "%/grace.kim") == ("Grace, shall we renew your AMC plan?",)
    reviewed = (
        "select r.comment from jobsdb.card_reviews as r"
        " where r.decision = 'rejected' and r.job_id = %s"
    )
    assert column(loaded, reviewed, AMC) == ["is a partner of ours"]
    due = "select count(*) from jobsdb.due_contacts as d where d.job_id = %s and d.due_at > now()"
    assert one(loaded, due, AMC) == (4,)  # of the last five, one has answered
    used = "select u.cost, u.tokens_in, u.tokens_out from jobsdb.job_usage as u where u.job_id = %s"
    assert one(loaded, used, AMC) == (Decimal("0.57"), 42_600, 7_250)


def test_the_test_job_waits_for_its_start_and_then_runs_through(loaded: psycopg.Connection) -> None:
    assert audience(loaded, TEST) == {"in": 5}
    tasks = "select t.kind, t.status from public.job_tasks as t where t.job_id = %s order by t.step"
    assert loaded.execute(tasks, (TEST,)).fetchall() == [
        ("draft_email", "pending"), ("send_email", "pending"),
    ]  # fmt: skip
    with as_tenant(loaded, A):
        loaded.execute("select public.transition_job_status(%s, 'running')", (TEST,))
    with as_service(loaded):
        taken = "select id, lease_token from claim_tasks('me', 10, '{draft_email}', %s)"
        found = dict(loaded.execute(taken, (A,)).fetchall())
        task = one(loaded, "select min(id) from job_tasks where job_id = %s", TEST)[0]
        assert one(loaded, "select draft_cards(%s, %s)", task, found[task]) == (5,)
    with as_tenant(loaded, A):
        subjects = "select q.content ->> 'subject' from review_queue as q where q.job_id = %s"
        assert sorted(column(loaded, subjects, TEST))[0] == "Hello Aiko"


def test_the_renewals_succeeded_and_fill_every_number(loaded: psycopg.Connection) -> None:
    assert sends(loaded, RENEWALS) == {("0", "sent"): 17, ("0", "failed"): 1, ("1", "sent"): 12}
    assert set(events(loaded, RENEWALS)) == {
        "delivered", "bounce_hard", "bounce_soft", "complaint", "open_human", "open_machine",
        "click", "reply", "auto_reply", "unsubscribe",
    }  # fmt: skip
    found = metrics(loaded, RENEWALS)
    assert found["status"] == "succeeded"
    assert found["emails_sent"] == 29
    for name in ("task_seconds", "queue_seconds"):
        assert found[f"{name}_p50"] > 0
        assert found[f"{name}_p95"] >= found[f"{name}_p50"]
    assert 0 < found["approval_rate"] < 1
    retried = (
        "select s.attempt from jobsdb.sends as s where s.contact_key like %s and s.touch = '0'"
    )
    assert one(loaded, retried, "%/petra") == (2,)
    by_hand = (
        "select count(*) from jobsdb.card_reviews as r where r.job_id = %s and r.reviewer = %s"
    )
    assert one(loaded, by_hand + " and r.decision = 'approved'", RENEWALS, A) == (2,)


def test_the_renewals_went_out_within_window_and_limit(loaded: psycopg.Connection) -> None:
    hours = column(
        loaded,
        "select extract(hour from s.dispatched_at at time zone c.time_zone)::int"
        " from jobsdb.sends as s inner join jobsdb.job_contacts as c"
        " on c.job_id = s.job_id and c.contact_key = s.contact_key where s.job_id = %s",
        RENEWALS,
    )
    assert len(hours) == 30
    assert 8 <= min(hours) <= max(hours) < 20
    zones = "select count(distinct c.time_zone) from jobsdb.job_contacts as c where c.job_id = %s"
    assert one(loaded, zones, RENEWALS)[0] > 1
    in_an_hour = column(
        loaded,
        "select count(*) over (order by s.dispatched_at range interval '1 hour' preceding)"
        " from jobsdb.sends as s where s.domain = 'harbor.renewals.test'",
    )
    assert (len(in_an_hour), max(in_an_hour)) == (7 + 5, 4)


def test_the_messy_import_says_of_everybody_why(loaded: psycopg.Connection) -> None:
    with as_tenant(loaded, B):
        found = rows(loaded, "select * from dry_run_job(%s)", MESSY)
    assert Counter(who["reason"] for who in found) == {
        None: 4, "duplicate_address": 2, "no_address": 2, "bad_address": 2, "suppressed": 2,
        "bounce_hard": 1, "complaint": 1,
    }  # fmt: skip
    assert sends(loaded, MESSY) == {("0", "sent"): 5, ("0", "unknown"): 1}
    history = "select e.new_status from jobsdb.events as e where e.job_id = %s and e.entity = 'job'"
    moves = column(loaded, history + " order by e.id", MESSY)
    assert moves.index("paused") < moves.index("cancelled") == len(moves) - 1
    read = "select s.subject, s.body from jobsdb.sends as s where s.contact_key = %s"
    assert one(loaded, read, "messy-import/12") == (
        "<script>alert(1)</script>, is this still you?",
        "<p>Hello &lt;script&gt;alert(1)&lt;/script&gt;, may we write to finn@messy.test?</p>",
    )
    assert one(loaded, read, "messy-import/13")[0] == "{{email}}, is this still you?"
    assert one(loaded, read, "messy-import/14")[0] == "HankBcc: all@messy.test, is this still you?"
    zone = "select c.time_zone from jobsdb.job_contacts as c where c.contact_key = %s"
    assert one(loaded, zone, "messy-import/11") == (None,)


def test_addresses_are_of_domains_nobody_has(loaded: psycopg.Connection) -> None:
    named = column(
        loaded,
        "select distinct split_part(lower(btrim(c.email)), '@', -1) from jobsdb.contacts as c"
        " where c.email like '%%@%%'",
    )
    named += column(loaded, "select distinct s.domain from jobsdb.sends as s")
    assert len(named) > 5
    assert [name for name in named if not name.endswith((".example.com", ".test"))] == []


MINE = {
    "target_group": "AMC", "cadence": {"day0": True}, "review_mode": False,
    "templates": {"intro": "Subject: Hi\nBody: Hi"},
}  # fmt: skip


def busy(db: psycopg.Connection, org: str, jobs: int) -> None:
    """Give an organisation contacts in the samples' group, and running jobs with work to claim."""
    for n in range(jobs):
        people = [
            {"contact_key": f"k{n}-{i}", "email": f"p{n}-{i}@example.com", "groups": ["AMC"]}
            for i in range(3)
        ]
        db.execute("select public.upsert_contacts(%s, %s)", (Jsonb(people), org))
        job = one(
            db,
            "select j.id from public.create_job(%s) as j",
            Jsonb({"name": "mine", "org_id": org, "params": MINE | {"batch_size": 1}}),
        )[0]
        db.execute("select public.transition_job_status(%s, 'running')", (job,))
    with as_service(db):  # half of the drafts become e-mails to claim
        for task in rows(db, "select * from claim_tasks('w', %s, '{draft_email}', %s)", jobs, org):
            values = (task["id"], task["lease_token"])
            db.execute("select draft_cards(%s, %s)", values)
            db.execute("select complete_tasks(array[%s]::bigint[], %s)", values)


def not_samples(db: psycopg.Connection) -> dict[str, list[str]]:
    """The contents of the database without what belongs to samples."""
    ours = [s.id for s in samples.find(db)]
    found = without_time(contents(db))
    return {
        name: [line for line in lines if not any(id_ in line for id_ in ours)]
        for name, lines in found.items()
        if name.split(".")[-1] in ("jobs", "job_tasks", "sends", "kanban_cards", "job_contacts")
    }


def test_work_of_others_in_the_same_organisation_is_left_alone(
    url: str, db: psycopg.Connection
) -> None:
    org = str(uuid4())
    busy(db, org, 4)
    before = not_samples(db)
    claimable = "select count(*) from {} where {}"
    assert one(db, claimable.format("jobsdb.sends", "state = 'queued'"))[0] == 4
    assert one(db, claimable.format("public.job_tasks", "pos is not null"))[0] > 4
    assert seed.run(url, org=org, yes=True) == 0
    assert not_samples(db) == before
    mine = {name: samples.sample_id(org, name) for name in NAMES}
    assert audience(db, mine["test-job"]) == {"in": 5}
    assert sum(audience(db, mine["amc-q4-followup"]).values()) == 25
    assert sends(db, mine["amc-q4-followup"]) == {("0", "sent"): 24, ("1", "queued"): 3}
    assert metrics(db, mine["renewal-reminders"])["status"] == "succeeded"


def test_samples_are_in_nobodys_audience(url: str, db: psycopg.Connection) -> None:
    org = str(uuid4())
    assert seed.run(url, org=org) == 0
    busy(db, org, 1)
    read = (
        "select c.contact_key from jobsdb.job_contacts as c"
        " inner join public.jobs as j on j.id = c.job_id where j.name = 'mine' order by 1"
    )
    assert column(db, read) == ["k0-0", "k0-1", "k0-2"]


def test_removing_keeps_what_one_has_said_oneself(url: str, db: psycopg.Connection) -> None:
    org = str(uuid4())
    busy(db, org, 1)
    db.execute("select jobsdb.suppress(%s, 'address', 'p@example.com', 'asked')", (org,))
    db.execute("select jobsdb.suppress(%s, 'domain', 'amc.example.org', 'asked')", (org,))
    db.execute("select jobsdb.limit_sends(%s, 90, '1 hour', 'domain', 'example.com')", (org,))
    db.execute("select public.refresh_job_metrics()")
    before = without_time(contents(db))
    assert seed.run(url, org=org, yes=True) == 0
    assert len(contents(db)["jobsdb.suppressions"]) > 2 + 5
    assert seed.run(url, org=org, later="2 days", yes=True) == 0
    assert seed.run(url, org=org, remove=True, yes=True) == 0
    assert without_time(contents(db)) == before


def test_where_the_host_has_contacts_samples_bring_their_own(
    url: str, db: psycopg.Connection
) -> None:
    db.execute(
        "create table public.people (id int, org_id uuid, email text, groups text[]);"
        f"insert into public.people values (1, '{A}', 'a@example.com', '{{AMC,renewals}}');"
        "select jobsdb.bind_host_contacts('public.people', groups_column => 'groups')"
    )
    before = without_time(contents(db))
    assert seed.run(url) == 0
    assert contents(db)["jobsdb.contact_source"] == before["jobsdb.contact_source"]
    assert len(before["jobsdb.contact_source"]) == 1
    assert audience(db, TEST) == {"in": 5}
    assert seed.run(url, remove=True) == 0
    assert without_time(contents(db)) == before


def test_campaigns_whose_cards_the_host_cannot_take_are_left_out(
    empty_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(empty_url, autocommit=True) as conn:
        conn.execute(
            "create table public.kanban_cards (id bigint generated always as identity primary key,"
            " org_id uuid not null, type text, title text, state text, content jsonb,"
            " column_id int not null)"
        )
        migrate(empty_url)
        assert seed.run(empty_url) == 0
        assert [s.seed for s in samples.find(conn)] == ["test-job"]
        said = capsys.readouterr().err
        for name in set(NAMES) - {"test-job"}:
            assert f"{name} was left out" in said
        assert 'null value in column "column_id"' in said


def test_when_time_passes_who_is_due_is_planned(
    url: str, db: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seed.run(url) == 0
    batches = (
        "select t.batch, t.kind, jsonb_array_length(t.input -> 'contact_ids')"
        " from public.job_tasks as t where t.job_id = %s and t.batch > 1 order by t.step"
    )
    assert db.execute(batches, (AMC,)).fetchall() == []
    capsys.readouterr()
    assert seed.run(url, later="12h") == 0
    assert db.execute(batches, (AMC,)).fetchall() == []
    assert "in 3 h" in capsys.readouterr().out
    assert seed.run(url, later="4d") == 0
    assert db.execute(batches, (AMC,)).fetchall() == [
        (2, "draft_email", 4),
        (2, "send_email", None),
    ]
    said = capsys.readouterr()
    assert "amc-q4-followup: the next batch is planned, 2 tasks" in said.err
    assert "renewal-reminders: " not in said.err
    assert said.out.split()[:3] == ["campaign", "org", "status"]
    age = "select extract(epoch from now() - j.created_at) / 86400 from public.jobs as j"
    assert float(one(db, age + " where j.id = %s", AMC)[0]) == pytest.approx(9.5, abs=0.1)
    assert float(one(db, age + " where j.id = %s", TEST)[0]) == pytest.approx(4.5, abs=0.1)
    assert metrics(db, AMC)["max_batch"] == 2
    assert {result.word for result in verify.examine(db)} == {"ok"}


def test_time_passes_for_named_samples_and_nobody_else(url: str, db: psycopg.Connection) -> None:
    assert seed.run(url) == 0
    busy(db, A, 2)
    seed.run(url, scale=5, yes=True)
    db.execute("select public.refresh_job_metrics()")

    def others() -> dict[str, list[str]]:
        return {
            name: [line for line in lines if AMC not in line]
            for name, lines in without_time(contents(db)).items()
            if name.split(".")[-1] in ("jobs", "job_tasks", "sends", "kanban_cards", "due_contacts")
        }

    before = others()
    assert seed.run(url, ["amc-q4-followup"], later="1 week") == 0
    assert others() == before


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ("soon", "no length of time"), ("-2d", "no length of time"), ("0 days", "no length"),
        ("4", "it has no unit"), ("", "it has no unit"), ("900 years", "no length of time"),
        ("'; drop table jobs", "no length of time"), ("9" * 30 + " days", "no length of time"),
    ],
)  # fmt: skip
def test_a_length_of_time_that_is_none_changes_nothing(
    url: str, db: psycopg.Connection, interval: str, text: str
) -> None:
    seed.run(url, ["test-job"])
    before = contents(db)
    with pytest.raises(errors.UsageError, match=text) as refused:
        seed.run(url, later=interval)
    assert refused.value.code == errors.Exit.USAGE
    assert refused.value.hint
    assert contents(db) == before


def test_without_samples_no_time_passes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert seed.run(url, later="1d") == errors.Exit.NO
    assert "no samples" in capsys.readouterr().err


@pytest.mark.parametrize("also", [{"remove": True}, {"scale": 3}])
def test_one_thing_at_a_time(url: str, also: dict) -> None:
    with pytest.raises(errors.UsageError, match="--step contradict"):
        seed.run(url, later="1d", **also)


def test_two_organisations_can_have_the_same_samples(
    server, template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    org = str(uuid4())
    with new_database(server, template) as url, psycopg.connect(url, autocommit=True) as db:
        assert seed.run(url) == seed.run(url, org=org) == 0
        for name in MAILS:
            theirs, ours = samples.sample_id(org, name), samples.sample_id(A, name)
            if name != "messy-import":
                assert sends(db, theirs) == sends(db, ours)
                assert events(db, theirs) == events(db, ours)
        assert db.execute(stepping.WRONG).fetchall() == []
