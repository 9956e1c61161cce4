"""`jobsdb doctor`: silent about a healthy place, and every check tells what it is there for.

What each check looks at is broken: it must say so, and its remedy, carried out, must mend it.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pglast
import psycopg
import pytest
from psycopg.types.json import Jsonb

import commands
import world
from helpers import BINDIR, SQL, as_tenant, new_database
from jobsdb import local
from jobsdb.check import doctor
from jobsdb.check.checks import Check
from jobsdb.check.doctor import Finding
from jobsdb.deploy.migrate import migrate
from jobsdb.local import Server
from test_migrate import pgbouncer
from world import A

CHECKS = {check.number: check for check in doctor.load()}
ROOM = {  # what a test fills up, and nothing that tidies up meanwhile
    "max_connections": "20",
    "max_prepared_transactions": "2",
    "wal_level": "logical",
    "autovacuum_naptime": "1d",
}
AGED = """
insert into jobsdb.runnable_jobs (job_id, org_id, since)
select j.id, j.org_id, now() - interval '1 hour' from public.jobs as j where j.name = 'aged'
on conflict (job_id) do update set since = excluded.since
"""
FREEZE = (
    "update pg_database set datfrozenxid = ((txid_current() - {} + 4294967296) % 4294967296)"
    "::text::xid where datname = current_database()"
)
CRON = """
create schema cron;
create table cron.job (
  jobname text, schedule text, command text, database text default current_database(),
  active boolean default true
);
create function cron.schedule(text, text, text) returns void language sql
as 'insert into cron.job (jobname, schedule, command) values ($1, $2, $3)'
"""
FORCED = "set session_replication_role = replica; {}; reset session_replication_role"

CONTACTS = [{"contact_key": "c1", "email": "ann@example.com", "groups": ["AMC"]}]
CAMPAIGN = {
    "name": "Q4",
    "params": {
        "target_group": "AMC",
        "cadence": {"day0": True},
        "templates": {"intro": "Subject: Hello\nBody: Hello"},
    },
}

# Number of the check, what breaks it, what it must say, and its verdict; "by hand" when the remedy
# is for a person to read.
BROKEN: list[tuple[str, ...]] = [
    ("6220", "alter system set autovacuum = off; select pg_reload_conf()", "autovacuum", "bad"),
    ("6220", "alter system set track_counts = off; select pg_reload_conf()", "track_counts", "bad"),
    ("6230", FREEZE.format(600_000_000), "not been frozen for 600 million transactions", "warn"),
    ("6230", FREEZE.format(1_200_000_000), "1200 million", "bad"),
    *(
        ("6250", f"alter role postgres in database {{database}} set {setting}", text, state)
        for setting, text, state in (
            ("default_transaction_isolation = serializable", "could not serialize", "warn"),
            ("default_transaction_read_only = on", "nothing can be changed", "bad"),
            ("session_replication_role = replica", "no guard fires", "bad"),
            ("row_security = off", "row_security of postgres is off", "warn"),
            ("statement_timeout = '3s'", "statement_timeout of postgres is 3000", "warn"),
        )
    ),
    (
        "6250",
        "alter role service_role set statement_timeout = '800ms'",
        "statement_timeout of service_role is 800ms",
        "warn",
    ),
    ("6260", "alter system set fsync = off; select pg_reload_conf()", "fsync is off", "bad"),
    (
        "6260",
        "alter system set full_page_writes = off; select pg_reload_conf()",
        "full_page_writes is off",
        "bad",
    ),
    (
        "6260",
        "alter role postgres in database {database} set synchronous_commit = off",
        "synchronous_commit is off",
        "warn",
    ),
    (
        "6260",
        "alter system set synchronous_commit = off; select pg_reload_conf()",
        "a crash forgets the last commits",
        "warn",
    ),
    (
        "6330",
        "begin; select pg_current_xact_id(); prepare transaction 'it''s lost'",
        "prepared transaction 'it''s lost' of postgres",
        "bad",
    ),
    (
        "6340",
        "select pg_create_physical_replication_slot('away')",
        "replication slot away is not in use",
        "warn",
    ),
    (
        "6340",
        "select pg_create_logical_replication_slot('away', 'pgoutput')",
        "not in use and holds dead rows back",
        "bad",
    ),
    ("6420", "drop schema auth cascade", "auth.uid() does not exist", "bad"),
    ("7010", "revoke usage on schema public from public", "service_role may not use", "bad"),
    ("7010", "revoke select on public.jobs from authenticated", "use table jobs", "bad"),
    ("7010", "revoke usage on schema jobsdb from service_role", "use schema jobsdb", "bad"),
    ("7010", "revoke usage on schema auth from service_role", "use auth.uid()", "bad"),
    (
        "7010",
        "revoke execute on function auth.uid() from public",
        "permission denied: authenticated may not use auth.uid()",
        "bad",
    ),
    ("7010", "create role authenticator", "authenticator may not use role anon", "bad"),
    (
        "7020",
        "update jobsdb.metrics_refresh set refreshed_at = now() - interval '2 hours'",
        "the metrics are stale: 02:00:00 old",
        "warn",
    ),
    (
        "7020",
        "refresh materialized view jobsdb.job_metrics_mv with no data",
        "the metrics are stale: they were never filled",
        "bad",
        "by hand",  # the remedy is a REFRESH CONCURRENTLY; see test_metrics
    ),
    ("7110", CRON, "pg_cron is here, but does not call tick()", "warn"),
    (
        "7110",
        CRON + ";select cron.schedule('other', '* * * * *', 'select tick()');"
        "update cron.job set active = false",
        "does not call refresh_job_metrics()",
        "warn",
    ),
    (
        "7210",
        "update public.job_tasks set scheduled_for = now() + interval '1 day';"
        "update public.job_tasks set waits_until = now() - interval '1 hour'",
        "1 tasks are due that nobody has made claimable, the oldest for 01:00:0",
        "bad",
    ),
    (
        "7210",
        "select claim_tasks('w', 1);"
        "update jobsdb.leases set look_at = now() - interval '1 hour';"
        + FORCED.format(
            "update public.job_tasks set lease_expires_at = now() - interval '1 hour'"
            " where status = 'running'"
        ),
        "1 leases of lost workers have ended",
        "bad",
    ),
    (
        "7210",
        "insert into jobsdb.closed_jobs (job_id, org_id, closed_at)"
        " select j.id, j.org_id, now() - interval '1 hour' from public.jobs as j",
        "1 closed jobs have tasks",
        "bad",
    ),
    (
        "7220",
        "insert into jobsdb.job_deltas (job_id, org_id, tasks_done)"
        " select j.id, j.org_id, (-1) ^ i from public.jobs as j, generate_series(1, 1000) as i"
        " where j.name = 'aged'",
        "1000 changes of the counters of 1 jobs are not folded yet",
        "warn",
    ),
    (
        "7230",
        FORCED.format("update public.job_tasks set created_at = now() - interval '2 hours'")
        + ";"
        + AGED,
        "nobody works on tasks of kind research: in 1 jobs they wait, the oldest for 02:00:0",
        "warn",
        "by hand",
    ),
    (
        "7310",
        "alter table jobsdb.leases set (autovacuum_enabled = off)",
        "autovacuum leaves out table jobsdb.leases",
        "bad",
    ),
    (
        "7320",
        "insert into jobsdb.task_moves (job_id, org_id)"
        " select gen_random_uuid(), gen_random_uuid() from generate_series(1, 10001);"
        "delete from jobsdb.task_moves; select pg_stat_force_next_flush()",
        "table jobsdb.task_moves has 10001 dead rows beside 0 live ones; last vacuum: never",
        "warn",
    ),
]
ELSEWHERE = {"3350", "6010", "6110", "6120", "6210", "6240", "6310", "6320", "6410", "6430"} | {
    "7240",
    "7250",
}
"""These have tests of their own."""


@pytest.fixture(scope="module")
def place(scratch: Path) -> Server:
    """A server of the tests of this file: its settings are theirs to change."""
    return local.start("doctor", ROOM, BINDIR, scratch)


@pytest.fixture(scope="module")
def living(place: Server) -> Iterator[str]:
    """The name of a database in which a job has a task; to be cloned."""
    with new_database(place) as url:
        migrate(url, checks=False)
        with psycopg.connect(url, autocommit=True) as conn:
            job = world.new_job(conn, A, name="aged", status="running")
            world.new_task(conn, job, kind="research")
            conn.execute("select refresh_job_metrics()")
        yield commands.database(url)


@pytest.fixture
def home(place: Server, living: str) -> Iterator[str]:
    """The URL of a database in which the doctor finds nothing."""
    with psycopg.connect(place.url(), autocommit=True) as admin:
        with new_database(place, living) as url:
            yield url
            admin.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
        admin.execute("alter system reset all")
        admin.execute("select pg_reload_conf()")
        admin.execute("alter role service_role reset all")
        admin.execute("drop role if exists authenticator, reader")


def found(url: str, patience_s: float = 300) -> list[Finding]:
    """What is not ok."""
    with psycopg.connect(url, autocommit=True) as conn:
        every = doctor.examine(conn, patience_s)
    return [finding for finding in every if finding.state != "ok"]


def execute(url: str, statements: str) -> None:
    """Run statements one by one, each in its own transaction."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set allow_system_table_mods = on")
        for statement in pglast.split(statements):
            conn.execute(statement.encode())


def mend(url: str, remedy: str) -> None:
    """Carry out a remedy."""
    remedy = remedy.removeprefix("Have an administrator run: ")
    if remedy.startswith("jobsdb "):
        done = commands.run(*remedy.split()[1:], "-d", url)
        assert done.returncode == 0, done.stderr
    else:
        execute(url, remedy)


class TestEveryCheck:
    def test_finds_nothing_in_a_healthy_place(self, home: str) -> None:
        assert found(home) == []

    @pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case[0]} {case[2]}"[:60])
    def test_tells_what_it_is_for_and_its_remedy_mends_it(
        self, home: str, case: tuple[str, ...]
    ) -> None:
        number, breaking, text, state, *more = case
        patience = 0.0 if number == "6330" else 300.0
        execute(home, breaking.replace("{database}", commands.database(home)))
        seen = [finding for finding in found(home, patience) if finding.number == number]
        assert text in " | ".join(finding.sentence for finding in seen)
        assert {finding.state for finding in seen} == {state}
        assert all(finding.remedy and finding.so for finding in seen)
        if "by hand" in more:
            return
        for remedy in dict.fromkeys(finding.remedy for finding in seen):
            mend(home, remedy)
        assert [f for f in found(home, patience) if f.number == number] == []

    def test_is_broken_here(self) -> None:
        assert {case[0] for case in BROKEN} | ELSEWHERE == set(CHECKS)
        assert not {case[0] for case in BROKEN} & ELSEWHERE

    @pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.number)
    def test_is_one_select_that_says_what_it_is_for(self, check: Check) -> None:
        (statement,) = pglast.parse_sql(check.sql)
        assert isinstance(statement.stmt, pglast.ast.SelectStmt)
        assert check.so
        words = re.sub(r"[^a-z]+", "_", check.sentence.lower())
        folder = "verify" if check.number == doctor.HOLES else "doctor"
        assert check.docs == f"sql/{folder}/{check.number}_{words}.sql"
        assert (SQL.parent / check.docs).is_file()


def only(findings: list[Finding], number: str) -> Finding:
    """The one finding of a check."""
    (finding,) = (each for each in findings if each.number == number)
    return finding


class TestTheServer:
    @pytest.mark.parametrize("version", [150019, 160015, 170011, 180006])
    def test_is_warned_of_when_its_release_has_a_hole(self, home: str, version: int) -> None:
        with psycopg.connect(home, autocommit=True) as conn:
            context = {"server": version, "reachable": True, "installed": True}
            (finding,) = doctor.look(conn, CHECKS["3350"], context)
            assert finding.state == "warn"
            major, minor = divmod(version, 10000)
            newest = f"{major}.{minor + 1}"
            assert finding.sentence == f"PostgreSQL {major}.{minor} has holes that {newest} has not"
            assert "Install the newest minor release" in (finding.remedy or "")
            (finding,) = doctor.look(conn, CHECKS["3350"], {**context, "server": version + 1})
            assert finding.state == "ok"

    def test_has_connections_left(self, home: str) -> None:
        several = [psycopg.connect(home) for _ in range(13)]
        finding = only(found(home), "6240")
        several += [psycopg.connect(home) for _ in range(2)]
        full = only(found(home), "6240")
        for conn in several:
            conn.close()
        assert (finding.state, full.state) == ("warn", "bad")
        assert "of 17 connections are in use" in finding.sentence
        assert "alter system set max_connections = 34;" in finding.remedy
        assert found(home) == []

    def test_that_is_a_replica_takes_no_changes(self, scratch: Path) -> None:
        server = local.start("in-recovery", None, BINDIR, scratch)
        local.stop("in-recovery", scratch)
        signal = server.data / "standby.signal"
        signal.touch()
        try:
            url = local.start("in-recovery", None, BINDIR, scratch).url()
            finding = only(found(url), "6010")
            assert finding.state == "bad"
            assert finding.sentence.endswith("on a read replica: nothing can be changed here")
            assert finding.remedy == "Connect to the primary server."
        finally:
            local.stop("in-recovery", scratch)

    def test_has_pg_cron_or_not(self, home: str) -> None:
        with psycopg.connect(home, autocommit=True) as conn:
            every = doctor.examine(conn)
        assert "cron or a worker calls tick()" in only(every, "6210").sentence


class TestSessions:
    def test_that_hold_a_snapshot_are_named_and_ended(self, home: str) -> None:
        with psycopg.connect(home, autocommit=True) as other, busy(other):
            finding = only(found(home, 0.05), "6310")
            assert finding.state == "bad"
            assert only(found(home, 0.3), "6310").state == "warn"
            assert f"pid {other.info.backend_pid} (postgres in " in finding.sentence
            assert finding.remedy == f"select pg_cancel_backend({other.info.backend_pid});"
            mend(home, finding.remedy)
        assert found(home) == []

    def test_that_idle_in_a_transaction_are_named_and_ended(self, home: str) -> None:
        with psycopg.connect(home, autocommit=True) as other:
            other.execute("begin")
            other.execute("select pg_sleep(0.6)")
            finding = only(found(home, 0.04), "6320")
            assert finding.state == "bad"
            assert only(found(home, 0.2), "6320").state == "warn"
            assert "is idle in transaction, its transaction 00:00:00 old" in finding.sentence
            assert finding.remedy == f"select pg_terminate_backend({other.info.backend_pid});"
            mend(home, finding.remedy)
            with pytest.raises(psycopg.OperationalError):
                other.execute("select 1")
        assert found(home) == []


@contextmanager
def busy(conn: psycopg.Connection) -> Iterator[None]:
    """Let a session work on one statement, for at least 0.7 seconds when the block begins."""

    def work() -> None:
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute("select pg_sleep(60)")

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.7)
    yield
    thread.join()


class TestWork:
    def test_that_nobody_plans_is_planned(self, home: str) -> None:
        with psycopg.connect(home, autocommit=True) as conn:
            with as_tenant(conn, A):
                conn.execute("select upsert_contacts(%s)", [Jsonb(CONTACTS)])
                job = world.one(conn, "select (create_job(%s)).id", Jsonb(CAMPAIGN))
                conn.execute("select transition_job_status(%s, 'running')", [job])
            conn.execute(
                "with touched as (update jobsdb.job_contacts set next_touch = 0"
                " returning job_id, org_id, contact_key)"
                " insert into jobsdb.due_contacts select *, now() from touched"
            )
            conn.execute("update jobsdb.planned_jobs set next_at = now() - interval '1 hour'")
        finding = only(found(home), "7240")
        assert finding.sentence == "1 campaigns are due for planning, the oldest for 01:00:00"
        until, remedy = finding.remedy.split(": ")
        assert until == "Until no row comes back"
        with psycopg.connect(home, autocommit=True) as conn:
            rounds = iter(lambda: conn.execute(remedy.encode()).fetchone(), None)
            assert len(list(rounds)) == 1
        assert found(home) == []

    def test_whose_outcome_nobody_knows_is_decided_by_a_person(self, home: str) -> None:
        execute(
            home,
            "insert into jobsdb.sends (org_id, job_id, contact_key, touch, card_id, recipient,"
            " idempotency_key, domain, content_hash, not_before, state, reason)"
            " select org_id, id, 'c1', '0', gen_random_uuid(), 'ann@example.com', 'k',"
            " 'example.com', 'h', now(), 'unknown', 'its worker was lost' from public.jobs",
        )
        finding = only(found(home), "7250")
        assert finding.sentence == "e-mail 1 may have gone out or not: its worker was lost"
        assert "select resolve_unknown(1, 'delivered'); or 'resend', or 'cancel'" in finding.remedy
        with psycopg.connect(home, autocommit=True) as conn, as_tenant(conn, A):
            conn.execute("select resolve_unknown(1, 'cancel')")
        assert found(home) == []

    def test_in_hand_of_lost_senders_is_taken_back(self, home: str) -> None:
        execute(
            home,
            "insert into jobsdb.sends (org_id, job_id, contact_key, touch, card_id, recipient,"
            " idempotency_key, domain, content_hash, not_before, state, lease_expires_at)"
            " select org_id, id, 'c1', '0', gen_random_uuid(), 'ann@example.com', 'k',"
            " 'example.com', 'h', now(), 'leased', now() - interval '1 day' from public.jobs",
        )
        finding = only(found(home), "7210")
        assert "1 e-mails are still held by lost senders, the oldest for 1 day" in finding.sentence
        mend(home, finding.remedy)
        assert found(home) == []


class TestWhoAsks:
    @pytest.fixture
    def reader(self, home: str) -> str:
        """The URL for somebody who may connect, and nothing else."""
        execute(home, "create role reader login")
        return home.replace("//postgres@", "//reader@")

    def test_is_told_what_he_cannot_see_and_what_he_lacks(self, home: str, reader: str) -> None:
        states = {f.number: f.state for f in found(reader)}
        assert states == {
            "6110": "warn",
            "6120": "skip",
            **{"7010": "warn", "7020": "skip", "7210": "skip", "7220": "skip"},
            **{"7230": "skip", "7240": "skip", "7250": "skip"},
        }
        finding = only(found(reader), "7010")
        assert finding.sentence == "permission denied: reader may not use anything of jobsdb"
        mend(home, finding.remedy)
        assert "7010" not in [f.number for f in found(reader)]

    def test_sees_everything_once_the_hint_was_followed(self, home: str, reader: str) -> None:
        done = commands.run("doctor", "-d", reader)
        assert done.returncode == 0
        (hint,) = re.findall(r"hint: to see everything: (.+)", done.stderr)
        mend(home, hint)
        assert "skip" not in {f.state for f in found(reader)}

    def test_may_deploy_once_the_remedies_were_followed(self, home: str, reader: str) -> None:
        for finding in found(reader):
            if finding.number == "6110":
                mend(home, finding.remedy)
        assert "6110" not in [f.number for f in found(reader)]
        assert not migrate(reader).applied

    def test_never_takes_hidden_rows_for_none(self, home: str, reader: str) -> None:
        execute(home, "grant pg_read_all_data to reader")
        finding = only(found(reader), "7250")
        assert finding.state == "skip"
        assert "row-level security" in finding.sentence

    def test_is_told_where_he_is(self, home: str, data_root: Path, place: Server) -> None:
        where = f"connected as postgres to database {commands.database(home)}"
        assert f"{where}, directly" in commands.run("doctor", "-d", home).stdout
        with pgbouncer(place, data_root) as address:
            done = commands.run("doctor", "-d", address(commands.database(home)))
            assert done.returncode == 0
            assert f"{where}, through a connection pooler" in done.stdout


class TestBeforeItIsInstalled:
    def test_it_says_so_and_how_to(self, place: Server) -> None:
        with new_database(place) as url:
            (finding,) = found(url)
            assert (finding.state, finding.number) == ("warn", "6430")
            assert finding.sentence == "jobsdb is not installed in this database"
            mend(url, finding.remedy)
            assert found(url) == []

    def test_what_stands_in_the_way_is_named_and_moved(self, place: Server) -> None:
        with new_database(place) as url:
            execute(
                url,
                "create table jobs (id int);"
                "create view job_metrics as select 1 as a;"
                "create function tick() returns int language sql as 'select 1';"
                "create domain job_status as text",
            )
            finding = only(found(url), "6410")
            assert finding.state == "bad"
            assert finding.sentence == (
                '"relation already exists": view public.job_metrics, domain public.job_status,'
                " table public.jobs, function public.tick() is not jobsdb's"
            )
            mend(url, finding.remedy)
            assert [f.number for f in found(url)] == ["6430"]
            mend(url, "jobsdb migrate")

    def test_an_older_jobs_system_is_adopted(self, place: Server) -> None:
        with new_database(place) as url:
            execute(url, "create table jobs (id int); create table job_tasks (id int)")
            assert only(found(url), "6410").remedy == "jobsdb migrate --adopt"


class TestTheCommand:
    def test_exit_code_and_text(self, home: str) -> None:
        execute(home, "drop schema auth cascade")
        done = commands.run("doctor", "-d", home)
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        place = lines.index("  bad   6420 auth.uid() does not exist")
        assert lines[place + 1].startswith("             so:  nothing says who calls")
        assert lines[place + 2] == "             fix: jobsdb migrate --prerequisites"
        assert re.fullmatch(r"\d+ findings, \d+ ok, 1 bad\.", lines[-1])
        assert "\x1b" not in done.stdout
        coloured = commands.run("doctor", "-d", home, FORCE_COLOR="1")
        assert "\x1b[1;31m  bad   6420" in coloured.stdout

    def test_a_warning_alone_is_0(self, home: str) -> None:
        execute(home, "update jobsdb.metrics_refresh set refreshed_at = '2001-01-01'")
        done = commands.run("doctor", "-d", home)
        assert done.returncode == 0
        assert "  warn  7020 the metrics are stale: " in done.stdout

    def test_json(self, home: str) -> None:
        execute(home, "update jobsdb.metrics_refresh set refreshed_at = '2001-01-01'")
        done = commands.run("doctor", "-d", home, "--json")
        document = json.loads(done.stdout)
        assert document["version"] == 1
        assert document["healthy"] is True
        assert document["counts"] == {"ok": len(CHECKS) - 2, "warn": 1, "bad": 0, "skip": 0}
        (finding,) = (each for each in document["findings"] if each["state"] == "warn")
        assert finding.pop("sentence").startswith("the metrics are stale: ")
        assert finding == {
            "number": "7020",
            "state": "warn",
            "remedy": "select refresh_job_metrics();",
            "so": CHECKS["7020"].so,
            "file": "sql/doctor/7020_the_metrics_are_fresh.sql",
        }

    def test_patience_is_an_option(self, home: str) -> None:
        with psycopg.connect(home) as conn:
            conn.execute("select 1")
            assert "ok    6320" in commands.run("doctor", "-d", home).stdout
            done = commands.run("doctor", "-d", home, "--patience", "1ms")
        assert "bad   6320 pid" in done.stdout

    def test_it_only_reads(self, home: str) -> None:
        name = commands.database(home)
        execute(home, f"alter database {name} set default_transaction_read_only = on")
        states = {f.number: f.state for f in found(home)}
        assert states == {"6250": "bad"}

    def test_no_server_is_told_by_the_connection(self) -> None:
        done = commands.run("doctor", "-d", "postgresql://nobody@localhost:1/none")
        assert done.returncode == 3
        assert "hint: " in done.stderr
