"""`jobsdb seed`: the samples are what they say, are loaded once, and go without a trace."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

import commands
import stepping
from helpers import as_tenant, new_database
from jobsdb import errors, local, render
from jobsdb.campaigns import samples, seed
from jobsdb.deploy.migrate import migrate

A, B = samples.ORGANISATIONS.values()
NAMES = ["amc-q4-followup", "messy-import", "portal-access-audit", "renewal-reminders", "test-job"]
AMC, MESSY, AUDIT, RENEWALS, TEST = (
    samples.sample_id(org, name) for org, name in zip((A, B, B, A, A), NAMES, strict=True)
)

# A host's own tables: ids, words and duties differ from ours, and there is data in them.
HOST = """
create type public.mood as enum ('todo', 'in_review', 'approved', 'rejected', 'done');
create table public.kanban_cards (
  id bigint generated always as identity primary key, org_id uuid not null,
  type varchar(30) not null, title text, state public.mood not null default 'todo', content json,
  board int not null default 7, touched int not null default 0
);
insert into public.kanban_cards (org_id, type, title)
select gen_random_uuid(), 'note', 'note ' || n from generate_series(1, 7) as n;
create function public.touch() returns trigger language plpgsql as
  'begin new.touched := new.touched + 1; return new; end';
create trigger touch before update on public.kanban_cards
for each row execute function public.touch();
create table public.agent_runs (id text primary key, worker text not null);
insert into public.agent_runs select n::text, 'w' from generate_series(1, 5) as n;
"""


def contents(conn: psycopg.Connection) -> dict[str, list[str]]:
    """Return all rows of all tables and materialized views of jobsdb and of the host."""
    tables = conn.execute(
        "select c.oid::regclass::text from pg_class as c"
        " where c.relkind in ('r', 'm')"
        " and c.relnamespace::regnamespace::text in ('public', 'jobsdb')"
    ).fetchall()
    read = "select to_jsonb(t)::text from {} as t order by 1"
    return {name: [row[0] for row in conn.execute(read.format(name))] for (name,) in tables}


def without_time(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the contents without when the metrics were refreshed."""
    return {
        name: [re.sub(r', "refreshed_at": "[^"]+"', "", row) for row in rows]
        for name, rows in found.items()
        if name != "jobsdb.metrics_refresh"
    }


def one(conn: psycopg.Connection, query: str, *values: object):
    return conn.execute(query, values).fetchone()


@pytest.fixture
def loaded(url: str, db: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was said when the samples were loaded into the database of ``db``."""
    assert seed.run(url) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("loaded")
def test_loading_twice_changes_nothing(url: str, db: psycopg.Connection) -> None:
    before = contents(db)
    assert len(before["jobs"]) == 5
    assert seed.run(url) == 0
    assert seed.run(url, NAMES[:1]) == 0
    assert contents(db) == before


@pytest.mark.usefixtures("loaded")
def test_every_counter_is_right(db: psycopg.Connection) -> None:
    assert db.execute(stepping.WRONG).fetchall() == []
    assert db.execute(stepping.WRONG_AT_REST).fetchall() == []


@pytest.mark.usefixtures("loaded")
def test_the_follow_up_stands_at_day_five(db: psycopg.Connection) -> None:
    progress = one(
        db,
        "select status, tasks_total, tasks_done, pending, running, cards_total, cards_in_review,"
        " cards_approved, cards_rejected, cards_done from public.get_job_progress(%s)",
        AMC,
    )
    assert progress == ("running", 12, 8, 4, 0, 35, 7, 3, 1, 24)
    age = one(db, "select now() - j.created_at from public.jobs as j where j.id = %s", AMC)[0]
    assert timedelta(days=5) <= age < timedelta(days=5, hours=1)
    contacts = "select jsonb_array_length(t.input -> 'contact_ids') from public.job_tasks as t"
    chunks = db.execute(
        f"{contacts} where t.kind = 'draft_email' and t.job_id = %s order by t.batch, t.step",
        (AMC,),
    )
    # Of the first 20, one was rejected, one bounced and two answered; the last 5 are not due.
    assert [n for (n,) in chunks] == [10, 10, 5, 10, 6]


@pytest.mark.usefixtures("loaded")
def test_the_params_are_those_of_the_contract(db: psycopg.Connection) -> None:
    params = dict(db.execute("select j.id::text, j.params from public.jobs as j").fetchall())
    assert params[TEST] == {
        "seed": "test-job",
        "target_group": "AMC",
        "cadence": {"day0": True},
        "templates": {"intro": {"subject": "Hello {{first_name}}", "body": "Test email"}},
        "review_mode": True,
        "batch_size": 5,
    }
    amc = params[AMC]
    templates = amc.pop("templates")
    assert amc == {
        "seed": "amc-q4-followup",
        "target_group": "AMC",
        "target_filter": {"state": "FL", "active": True},
        "cadence": {"day0": True, "day4": True, "day10": True},
        "review_mode": True,
        "batch_size": 10,
    }
    assert list(templates) == ["intro", "followup1", "followup2"]
    # As the contract's example writes it: a backslash and an n, in an ordinary SQL string.
    assert all(re.fullmatch(r"Subject: .+\\nBody: .+", text) for text in templates.values())
    named = "select j.name, j.description, j.status from public.jobs as j where j.id = %s"
    assert one(db, named, TEST) == ("Test Job", "First test job", "pending")


@pytest.mark.usefixtures("loaded")
def test_the_audit_has_errors_and_retries_and_failed(db: psycopg.Connection) -> None:
    measured = one(
        db,
        "select m.status, m.tasks_completed, m.tasks_failed, m.tasks_skipped, m.retry_total,"
        " m.emails_drafted, m.approval_rate from public.job_metrics as m where m.job_id = %s",
        AUDIT,
    )
    assert [float(n) if isinstance(n, (int, float)) else n for n in measured[:6]] == [
        "failed", 9.0, 2.0, 1.0, 3.0, 0.0,
    ]  # fmt: skip
    assert float(measured[6]) == 0.5
    kinds = {
        kind
        for (kind,) in db.execute(
            "select t.kind from public.job_tasks as t where t.job_id = %s", (AUDIT,)
        )
    }
    assert kinds == {
        "check_portal", "research", "update_profile", "create_task", "schedule_call", "create_deal",
    }  # fmt: skip


@pytest.mark.usefixtures("loaded")
def test_what_was_done_a_person_had_approved(db: psycopg.Connection) -> None:
    unapproved = db.execute(
        "select c.title from public.kanban_cards as c"
        " inner join public.jobs as j on j.id = c.job_id"
        " where c.state = 'done' and j.params -> 'review_mode' = 'true' and not exists ("
        " select from jobsdb.card_reviews as r where r.card_id = c.id::text"
        " and r.decision = 'approved' and r.reviewer = c.org_id"
        " and r.content_hash = jobsdb.card_hash(to_jsonb(c)))"
    )
    assert unapproved.fetchall() == []


@pytest.mark.usefixtures("loaded")
def test_everything_happened_in_the_past_and_in_order(db: psycopg.Connection) -> None:
    disorder = db.execute(
        "select t.job_id, t.batch, t.step from public.job_tasks as t"
        " inner join public.jobs as j on j.id = t.job_id"
        " where t.created_at < j.created_at"
        " or t.started_at < greatest(t.created_at, t.scheduled_for)"
        " or t.finished_at < coalesce(t.started_at, t.created_at)"
        " or t.finished_at > now() - interval '1 minute'"
        " or (t.status = 'running') <> (t.started_at is not null and t.finished_at is null)"
        " or t.scheduled_for <> (t.input ->> 'scheduled_for')::timestamptz"
    )
    assert disorder.fetchall() == []
    moments = [at for (at,) in db.execute(
        "select e.happened_at from jobsdb.events as e where e.job_id = %s order by e.id", (AMC,)
    )]  # fmt: skip
    assert moments == sorted(moments)
    assert moments[-1] < datetime.now(UTC) - timedelta(minutes=20)
    waited = one(
        db,
        "select count(*), now() - max(q.since), now() - min(q.since) from public.review_queue as q"
        " where q.job_id = %s",
        AMC,
    )
    assert waited[0] == 7
    assert timedelta(hours=19) < waited[1] <= waited[2] < timedelta(hours=21)
    ages = [age for (age,) in db.execute(
        "select now() - s.dispatched_at from jobsdb.sends as s"
        " where s.state = 'sent' and s.job_id = %s order by 1",
        (AMC,),
    )]  # fmt: skip
    assert len(ages) == 24
    assert timedelta(days=3) < ages[0] <= ages[-1] < timedelta(days=5)
    assert not one(
        db,
        "select count(*) from jobsdb.sends as s where s.settled_at < s.dispatched_at"
        " or s.dispatched_at < s.queued_at or s.queued_at > now() - interval '20 minutes'",
    )[0]


@pytest.mark.usefixtures("loaded")
def test_ids_follow_from_names(db: psycopg.Connection, server: local.Server, template: str) -> None:
    ids = "select array_agg(t.id::text order by t.id) from public.{} as t"
    here = [one(db, ids.format(table))[0] for table in ("jobs", "agent_runs")]
    assert sorted(here[0]) == sorted([AMC, MESSY, AUDIT, RENEWALS, TEST])
    with new_database(server, template) as url, psycopg.connect(url, autocommit=True) as other:
        seed.run(url, NAMES)
        there = [one(other, ids.format(table))[0] for table in ("jobs", "agent_runs")]
    assert there == here


def test_removing_leaves_the_database_as_it_was(url: str, db: psycopg.Connection) -> None:
    user = uuid4()
    with as_tenant(db, user):
        db.execute("insert into jobs (name, params) values ('mine', '{\"seed\": 42}')")
        db.execute("insert into jobs (name, params) values ('mine', '{\"seed\": \"test-job\"}')")
        db.execute("insert into kanban_cards (type, title) values ('send_email', 'mine')")
    db.execute("select public.refresh_job_metrics()")
    before = without_time(contents(db))
    assert seed.run(url, as_user=str(user), scale=30, yes=True) == 0
    send = one(db, "select min(s.id) from jobsdb.sends as s")[0]
    delivered = "select public.record_send_event('provider', 'e1', 'delivered', null, %s)"
    assert one(db, delivered, send)[0] == "ok"
    with as_tenant(db, user):
        linked = "update kanban_cards set job_id = %s where title = 'mine'"
        with pytest.raises(psycopg.Error, match="not yours"), db.transaction():
            db.execute(linked, (AMC,))
    assert seed.run(url, remove=True, yes=True) == 0
    assert without_time(contents(db)) == before


def test_a_card_of_ones_own_outlives_the_sample_it_was_linked_to(
    url: str, db: psycopg.Connection
) -> None:
    seed.run(url)
    with as_tenant(db, A):
        db.execute("insert into kanban_cards (type, title) values ('send_email', 'mine')")
        task = one(db, "select min(id) from job_tasks where job_id = %s", AMC)[0]
        db.execute(
            "update kanban_cards set job_id = %s, task_id = %s where title = 'mine'", (AMC, task)
        )
    seed.run(url, remove=True)
    cards = db.execute(
        "select c.title, c.job_id, c.task_id from public.kanban_cards as c"
    ).fetchall()
    assert cards == [("mine", None, None)]


def test_some_can_be_loaded_and_removed_by_name(url: str, db: psycopg.Connection) -> None:
    seed.run(url, ["test-job", "portal-access-audit"])
    assert {s.seed for s in samples.find(db)} == {"test-job", "portal-access-audit"}
    seed.run(url, ["test-job"], remove=True)
    assert {s.seed for s in samples.find(db)} == {"portal-access-audit"}
    assert one(db, "select count(*) from public.job_metrics")[0] == 1
    with pytest.raises(errors.UsageError, match='no sample campaign "nonesuch"'):
        seed.run(url, ["nonesuch"])


def test_they_can_be_loaded_into_an_organisation_of_ones_own(
    url: str, db: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    org = str(uuid4())
    seed.run(url, ["amc-q4-followup"])
    capsys.readouterr()
    seed.run(url, org=org)
    said = capsys.readouterr().out
    assert said.count(org) >= 2
    assert A not in said
    with as_tenant(db, org):
        assert one(db, "select count(*) from jobs")[0] == 5
    assert len({s.id for s in samples.find(db)}) == 6
    seed.run(url, remove=True, org=org)
    assert [s.id for s in samples.find(db)] == [AMC]


def test_a_user_can_be_made_a_member(url: str, db: psycopg.Connection) -> None:
    user = str(uuid4())
    seed.run(url)
    with as_tenant(db, user):
        assert one(db, "select count(*) from jobs")[0] == 0
    seed.run(url, as_user=user)
    with as_tenant(db, user):
        assert one(db, "select count(*) from jobs")[0] == 5
        approve = (
            "update kanban_cards set state = 'approved' where job_id = %s and state = 'in_review'"
        )
        assert db.execute(approve, (AMC,)).rowcount == 7
    seed.run(url, remove=True)
    assert one(db, "select count(*) from jobsdb.org_members")[0] == 0
    org = str(uuid4())
    seed.run(url, NAMES[:1], org=org, as_user=user)
    assert db.execute(
        "select m.user_id::text, m.org_id::text from jobsdb.org_members as m"
    ).fetchall() == [(user, org)]
    seed.run(url, org=org, as_user=user, remove=True)
    assert one(db, "select count(*) from jobsdb.org_members")[0] == 0


def test_load_is_generated_until_there_is_enough(url: str, db: psycopg.Connection) -> None:
    def there() -> list[tuple[str, int]]:
        found = (s for s in samples.find(db) if s.seed == samples.GENERATED)
        return [(s.part, s.tasks) for s in found]

    assert seed.run(url, scale=50) == 0
    assert there() == [("1", 50)]
    assert seed.run(url, scale=20_030) == 0
    assert there() == [("1", 20_000), ("2", 30)]
    before = contents(db)
    assert seed.run(url, scale=20_030) == 0
    assert seed.run(url, scale=7) == 0
    assert contents(db) == before
    claimable = (
        "select count(*) from public.job_tasks as t where t.pos is not null and t.kind = 'research'"
    )
    assert one(db, claimable + " and t.status = 'pending'")[0] == 20_030
    assert one(db, "select count(*) from jobsdb.runnable_jobs")[0] == 3
    db.execute("select public.cancel_job(%s)", (samples.sample_id(A, samples.GENERATED, 2),))
    assert seed.run(url, scale=20_040) == 0
    assert there() == [("1", 20_000), ("2", 30), ("3", 10)]
    assert db.execute(stepping.WRONG).fetchall() == []
    assert seed.run(url, [samples.GENERATED], remove=True) == 0
    assert {s.seed for s in samples.find(db)} == set(NAMES)
    with pytest.raises(errors.UsageError, match="contradict"):
        seed.run(url, remove=True, scale=5)


@pytest.mark.usefixtures("loaded")
def test_every_query_to_try_next_works_when_pasted(
    url: str, db: psycopg.Connection, loaded: str
) -> None:
    pasted = loaded[loaded.index("-- As the user") :]
    assert len(re.findall(r"^-- \d\.", pasted, re.MULTILINE)) == 5
    for _ in range(2):  # twice: what was started already is no obstacle
        with psycopg.connect(url, autocommit=True) as conn:
            cursor = conn.execute(pasted.encode())
            rows = [cursor.rowcount if cursor.description else None]
            while cursor.nextset():
                rows.append(cursor.rowcount if cursor.description else None)
        assert rows == [None, None, 7, 5, 3, 2, 1, None, None, 10]
    assert one(db, "select j.status from public.jobs as j where j.id = %s", TEST)[0] == "running"


def test_only_what_is_loaded_is_suggested(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    seed.run(url, ["test-job"])
    said = capsys.readouterr().out
    assert TEST in said
    assert "{" not in said.replace('{"sub"', "")
    assert "review_queue" not in said


def test_where_others_have_jobs_it_asks(
    url: str, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with as_tenant(db, uuid4()):
        db.execute("insert into jobs (name) values ('mine')")
    before = contents(db)
    with pytest.raises(errors.Refused, match="holds 1 other job") as refused:
        seed.run(url)
    assert "--yes" in refused.value.hint
    with pytest.raises(errors.Refused, match="Remove samples from it"):
        seed.run(url, remove=True)
    asked = []
    monkeypatch.setattr(render, "confirm", lambda question, *, yes: asked.append(question))
    assert seed.run(url) == errors.Exit.NO
    assert "Load samples into it?" in asked[0]
    assert contents(db) == before
    monkeypatch.undo()
    assert seed.run(url, yes=True) == 0
    assert len(samples.find(db)) == 5


def test_on_another_machine_it_asks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Remote:
        class info:
            hostaddr = "192.0.2.7"

    assert not seed._is_near(Remote)
    for near in ("", "127.0.0.1", "::1", "127.8.8.8"):
        Remote.info.hostaddr = near
        assert seed._is_near(Remote)
    monkeypatch.setattr(seed, "_is_near", lambda conn: False)
    with pytest.raises(errors.Refused, match="is on another machine"):
        seed.run(url)
    assert seed.run(url, yes=True) == 0


def test_without_jobsdb_there_is_one_sentence(empty_url: str) -> None:
    said = commands.run("seed", "-d", empty_url)
    assert said.returncode == errors.Exit.REFUSED
    assert said.stdout == ""
    assert said.stderr.splitlines()[1:] == [
        "error: the database has no jobsdb yet",
        "hint: Run `jobsdb migrate` first.",
    ]


def test_the_address_of_an_application_is_not_followed(url: str) -> None:
    said = commands.run(
        "seed", DATABASE_URL="postgresql://nowhere.invalid/x", JOBSDB_DATABASE_URL=url
    )
    assert said.returncode == 0, said.stderr
    for line in said.stdout.splitlines():
        assert len(line) <= 80
        assert line.isprintable()
    again = commands.run("seed", "--list", DATABASE_URL="postgresql://nowhere.invalid/x")
    assert again.returncode == 0
    assert [line.split()[0] for line in again.stdout.splitlines()] == ["campaign", *NAMES]
    assert max(map(len, again.stdout.splitlines())) <= 80


def test_a_campaign_that_is_refused_leaves_nothing_and_names_the_line(
    url: str, db: psycopg.Connection
) -> None:
    db.execute("alter table public.kanban_cards add check (title not like '% - followup1')")
    before = contents(db)
    with pytest.raises(errors.JobsdbError, match="violates check constraint") as refused:
        seed.run(url, ["amc-q4-followup"])
    file, line = refused.value.at.rsplit(":", 1)
    assert file == "sql/seeds/lib/draft.sql"
    assert samples.read("lib/draft.sql").text.splitlines()[int(line) - 1].startswith("with drafted")
    assert contents(db) == before


def test_two_loaders_at_once_load_once(url: str, db: psycopg.Connection) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: seed.run(url), range(3))) == [0, 0, 0]
    assert len(samples.find(db)) == 5
    assert one(db, "select count(*) from public.job_tasks")[0] == 12 + 2 + 12 + 10 + 2


def test_on_tables_of_the_host(empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as conn:
        conn.execute(HOST)
        migrate(empty_url)
        before = without_time(contents(conn))
        assert seed.run(empty_url) == 0
        states = "select count(*) filter (where c.state = 'done'), count(*)"
        assert one(conn, f"{states} from public.kanban_cards as c") == (59, 7 + 35 + 6 + 3 + 30)
        assert one(conn, "select count(*) from public.agent_runs")[0] == 5
        assert conn.execute(stepping.WRONG_AT_REST).fetchall() == []
        loaded = contents(conn)
        assert seed.run(empty_url) == 0
        assert contents(conn) == loaded
        assert seed.run(empty_url, remove=True) == 0
        assert without_time(contents(conn)) == before


@pytest.fixture
def like_supabase(server: local.Server) -> Iterator[str]:
    """Return the URL of an empty database for a login that is no superuser but bypasses RLS."""
    with new_database(server) as url, psycopg.connect(url, autocommit=True) as admin:
        name = f"deployer_{admin.info.backend_pid}"
        for role in ("anon", "authenticated", "service_role"):
            if admin.execute("select from pg_roles where rolname = %s", (role,)).rowcount == 0:
                admin.execute(f"create role {role} nologin")
        admin.execute(f"create role {name} login bypassrls createrole")
        admin.execute(f"grant anon, authenticated, service_role to {name}")
        admin.execute(
            f"grant create on database {admin.info.dbname} to {name};"
            f" grant all on schema public to {name};"
            " create schema auth; grant usage on schema auth to public;"
            " create function auth.uid() returns uuid language sql stable as"
            " $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb"
            " ->> 'sub')::uuid $$;"
            f" alter default privileges for role {name} in schema public"
            " grant all on tables to anon, authenticated, service_role"
        )
        yield url.replace("//postgres@", f"//{name}@")
        admin.execute(f"drop owned by {name} cascade; drop role {name}")


def test_as_a_deployer_who_is_no_superuser(like_supabase: str) -> None:
    migrate(like_supabase)
    assert seed.run(like_supabase, scale=10) == 0
    assert seed.run(like_supabase) == 0
    with psycopg.connect(like_supabase, autocommit=True) as conn:
        assert one(conn, "select count(*) from public.job_metrics")[0] == 6
        with as_tenant(conn, A):
            assert one(conn, "select count(*) from jobs")[0] == 4  # the two others are B's
        assert seed.run(like_supabase, remove=True) == 0
        assert one(conn, "select count(*) from public.jobs")[0] == 0
