"""The command line: which database, what it says where, exit codes, no password anywhere."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import click
import psycopg
import pytest

from commands import database, environment, run, start, writes
from helpers import new_database
from jobsdb import __version__, connect, errors, local, render, sqlfiles
from jobsdb import run as running
from jobsdb.cli import cli
from jobsdb.deploy import migrate
from jobsdb.local import Server
from jobsdb.options import Duration

SECRET = "hunter2-s3cret"
FILES = sqlfiles.load()


def every_command() -> list[tuple[str, ...]]:
    """Return the words of every command, groups included."""
    words: list[tuple[str, ...]] = [()]
    for name, command in cli.commands.items():
        words.append((name,))
        if isinstance(command, click.Group):
            words.extend((name, inner) for inner in command.commands)
    return words


class TestHelp:
    @pytest.mark.parametrize("words", every_command(), ids=" ".join)
    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_every_command_says_what_it_does(
        self, words: tuple[str, ...], flag: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert running.run(cli, [*words, flag]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"Usage: jobsdb {' '.join(words)}".rstrip())
        assert lines[2].strip().endswith((".", ",", "when", "what")) or len(lines[2]) > 40
        assert max(map(len, lines)) <= 80

    @pytest.mark.parametrize(
        "words", [w for w in every_command() if w[:1] != ("local",)], ids=" ".join
    )
    def test_examples_stand_before_options(
        self, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        running.run(cli, [*words, "--help"])
        said = capsys.readouterr().out
        assert 0 < said.index("Examples:") < said.index("Options:")

    def test_the_version(self) -> None:
        assert run("--version").stdout == f"jobsdb {__version__}\n"

    def test_help_imports_nothing_that_is_not_needed(self) -> None:
        check = (
            "import sys; from jobsdb.cli import main; main(['--help']);"
            "print({'psycopg', 'rich', 'jobsdb.deploy.migrate', 'jobsdb.local'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", check], env=environment(), capture_output=True, text=True
        )
        assert done.stdout.splitlines()[-1] == "set()"

    def test_a_piped_migration_does_not_import_rich(self, url: str) -> None:
        check = (
            f"import sys; from jobsdb.cli import main; main(['migrate', '-d', {url!r}]);"
            "print('rich' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", check], env=environment(), capture_output=True, text=True
        )
        assert done.stdout.splitlines()[-1] == "False", done.stderr


class TestExitCodes:
    def test_usage(self) -> None:
        for arguments in (["migrat"], ["migrate", "--wait", "soon"], ["bundle"], ["verify", "-x"]):
            done = run(*arguments)
            assert done.returncode == errors.Exit.USAGE, arguments
            assert done.stdout == ""
            assert "Traceback" not in done.stderr
        assert "Did you mean" in run("migrat").stderr

    def test_unreachable(self, tmp_path: Path) -> None:
        for target in (
            f"host={tmp_path} port=1 connect_timeout=2",
            "postgresql://someone@127.0.0.1:1/nothing",
        ):
            done = run("status", "-d", target)
            assert done.returncode == errors.Exit.CONNECT, done.stderr
            assert "error: the server cannot be reached" in done.stderr
            assert "hint: Is it running" in done.stderr

    def test_no_such_database(self, server: Server) -> None:
        done = run("status", "-d", server.url("no_such_database"))
        assert done.returncode == errors.Exit.CONNECT
        assert "error: the database or the user does not exist" in done.stderr
        assert "fact: " in done.stderr

    def test_wrong_password(self, server: Server) -> None:
        role = f"locked_{os.getpid()}"
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"create role {role} login password 'right'")
            rules = Path(admin.execute("show hba_file").fetchone()[0])
            before = rules.read_text()
            try:
                rules.write_text(f"local all {role} scram-sha-256\n{before}")
                admin.execute("select pg_reload_conf()")
                address = server.url().replace("postgres@", f"{role}@")
                wrong = run("status", "-d", address, PGPASSWORD=SECRET)
                none = run("status", "-d", address, PGPASSFILE="/nonexistent")
            finally:
                rules.write_text(before)
                admin.execute("select pg_reload_conf()")
                admin.execute(f"drop role {role}")
        assert wrong.returncode == none.returncode == errors.Exit.CONNECT
        assert "error: the password is wrong, or the user does not exist" in wrong.stderr
        assert "error: the server wants a password and none was given" in none.stderr
        assert SECRET not in wrong.stderr

    def test_no_privilege_to_read_the_ledger(self, url: str) -> None:
        role = f"reader_{os.getpid()}"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"create role {role} login")
            try:
                done = run("status", "-d", url.replace("postgres@", f"{role}@"))
            finally:
                admin.execute(f"drop role {role}")
        assert done.returncode == errors.Exit.CONNECT
        assert "permission denied" in done.stderr
        assert "(42501)" in done.stderr

    def test_a_failed_file(self, empty_url: str, tmp_path: Path) -> None:
        """A package of which one file is broken: 5, and the place."""
        import shutil

        package = tmp_path / "jobsdb"
        shutil.copytree(Path(sqlfiles.__file__).parent, package)
        shutil.copytree(sqlfiles.sql_root(), package / "sql")
        order = package / "sql" / "order.txt"
        order.write_text(f"{order.read_text()}\nviews/broken.sql\n")
        (package / "sql" / "views" / "broken.sql").write_text("-- bundle 3\n\nselect 1/0;\n")
        done = run("migrate", "-d", empty_url, PYTHONPATH=str(tmp_path))
        assert done.returncode == errors.Exit.SQL
        assert "error: division by zero (22012)" in done.stderr
        assert "at:   sql/views/broken.sql:3" in done.stderr
        assert migrate.UNCHANGED in done.stderr
        assert "failed, rolled back" in done.stderr
        assert "Traceback" not in done.stderr
        debugged = run("migrate", "--debug", "-d", empty_url, PYTHONPATH=str(tmp_path))
        assert "Traceback" in debugged.stderr

    def test_what_nobody_expected(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        errors.remember_secret(SECRET)
        command = click.Command("broken", callback=lambda: 1 / 0)
        assert running.run(command, []) == errors.Exit.INTERNAL
        said = capsys.readouterr().err
        assert "ZeroDivisionError" in said
        assert "Please report it" in said
        assert "Traceback" not in said

    def test_ctrl_c(self) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        assert running.run(click.Command("wait", callback=interrupt), []) == 130


MALFORMED = [
    f"postgres://app:{SECRET}@[bad/db",
    f"postgres://app:{SECRET}@host:port/db",
    f"postgres://app:{SECRET}",
    f"postgres://app:{SECRET}/db",
    f"postgres://app:x@{SECRET}@host/db",
    f"postgres://app:x/{SECRET}@host/db",
    f"postgres://app:12/{SECRET}@host/db",
    f"postgres://app:{SECRET}%zz@host/db",
    f"postgres://app:{SECRET}@host/db?pgbouncer=true",
    f"postgresql+asyncpg://app:{SECRET}@host/db",
    f"mysql://app:{SECRET}@host/db",
    f"host=h password={SECRET} nonsense",
    f"host=h password='{SECRET}",
    SECRET,
]


class TestSecrets:
    @pytest.mark.parametrize("address", MALFORMED)
    @pytest.mark.parametrize("flag", [[], ["--debug"]])
    def test_a_malformed_address_is_never_repeated(
        self,
        address: str,
        flag: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name in ("PGHOST", "PGSERVICE", "PGDATABASE", "JOBSDB_DATABASE_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DATABASE_URL", address)
        for arguments in (["status", *flag], ["migrate", "-d", address, *flag]):
            assert running.run(cli, arguments) == errors.Exit.USAGE
            said = "".join(capsys.readouterr())
            assert "the database address" in said
            assert "hint: " in said
            assert SECRET not in said

    def test_a_parameter_of_another_driver_is_named(self) -> None:
        done = run("status", DATABASE_URL="postgres://a:b@h/d?pgbouncer=true&schema=public")
        assert "hint: Remove what PostgreSQL does not know: pgbouncer, schema." in done.stderr

    def test_a_password_on_the_command_line_is_used_and_warned_about_once(self, url: str) -> None:
        address = url.replace("postgres@", f"postgres:{SECRET}@")
        for extra in ([], ["--debug"]):
            done = run("status", "-d", address, *extra)
            assert done.returncode == 0, done.stderr
            assert done.stderr.count("a password on the command line can be seen") == 1
            assert SECRET not in done.stdout + done.stderr

    def test_a_password_in_the_environment_is_not_warned_about(self, url: str) -> None:
        done = run("status", DATABASE_URL=url.replace("postgres@", f"postgres:{SECRET}@"))
        assert done.returncode == 0, done.stderr
        assert "password" not in done.stderr
        assert SECRET not in done.stdout + done.stderr

    def test_an_unreachable_server_does_not_show_it(self) -> None:
        address = f"postgresql://app:{SECRET}@127.0.0.1:1/db"
        for extra in ([], ["--debug"]):
            done = run("migrate", *extra, DATABASE_URL=address)
            assert done.returncode == errors.Exit.CONNECT
            assert SECRET not in done.stdout + done.stderr

    def test_the_chosen_address_is_not_in_its_repr(self) -> None:
        assert SECRET not in repr(connect.Target(f"password={SECRET}", "-d"))

    def test_a_secret_in_an_error_text_is_replaced(self) -> None:
        errors.remember_secret(SECRET)
        assert errors.scrub(f"cannot use {SECRET}!") == "cannot use ***!"


URLS = {"JOBSDB_DATABASE_URL": "host=own", "DATABASE_URL": "host=app", "PGHOST": "libpq"}


class TestChoice:
    @pytest.fixture(autouse=True)
    def embedded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = SimpleNamespace(url=lambda: "host=embedded")
        monkeypatch.setattr(local, "start", lambda: server)

    @pytest.mark.parametrize(
        ("rule", "flag", "without", "source", "conninfo"),
        [
            ("any", "host=flag", (), "-d", "host=flag"),
            ("any", None, (), "JOBSDB_DATABASE_URL", "host=own"),
            ("any", None, ("JOBSDB_DATABASE_URL",), "DATABASE_URL", "host=app"),
            ("any", None, ("JOBSDB_DATABASE_URL", "DATABASE_URL"), "libpq", ""),
            ("any", None, tuple(URLS), "embedded", "host=embedded"),
            ("own", "host=flag", (), "-d", "host=flag"),
            ("own", None, (), "JOBSDB_DATABASE_URL", "host=own"),
            ("own", None, ("JOBSDB_DATABASE_URL",), "libpq", ""),
            ("own", None, ("JOBSDB_DATABASE_URL", "PGHOST"), "embedded", "host=embedded"),
            ("flag", "host=flag", (), "-d", "host=flag"),
            ("flag", None, (), "embedded", "host=embedded"),
        ],
    )
    def test_the_first_that_names_a_database_wins(
        self, rule: connect.Rule, flag: str | None, without: tuple[str, ...], source: str,
        conninfo: str,
    ) -> None:  # fmt: skip
        variables = {name: text for name, text in URLS.items() if name not in without}
        chosen = connect.choose(flag, rule, variables)
        assert (chosen.source, chosen.conninfo) == (source, conninfo)

    def test_an_empty_variable_names_none(self) -> None:
        assert connect.choose(None, "any", {"DATABASE_URL": ""}).source == "embedded"

    def test_libpq_variables_work(self, url: str, server: Server) -> None:
        name = database(url)
        done = run(
            "status", PGHOST=str(server.socket_dir), PGPORT=str(server.port),
            PGUSER="postgres", PGDATABASE=name,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"/{name} (" in done.stderr.splitlines()[0]

    @pytest.mark.parametrize("form", ["postgresql", "postgres"])
    def test_both_spellings_of_a_url_work(self, url: str, form: str) -> None:
        assert run("status", "-d", url.replace("postgresql:", f"{form}:")).returncode == 0


class TestStatus:
    def test_an_empty_database_lacks_everything(self, empty_url: str) -> None:
        done = run("status", "-d", empty_url)
        assert done.returncode == errors.Exit.NO
        assert done.stdout.count("PENDING") == 5
        assert "Run: jobsdb migrate" in done.stdout

    def test_an_installed_database_lacks_nothing(self, url: str) -> None:
        done = run("status", "-d", url)
        assert done.returncode == 0
        assert "schema 20251103000004" in done.stdout
        assert done.stdout.count("applied ") == 5
        assert "campaigns  none yet" in done.stdout
        assert "metrics    refreshed" in done.stdout
        assert done.stderr.startswith("connected to postgres@")
        assert len(done.stderr.splitlines()) == 1

    def test_campaigns_are_counted_and_old_metrics_are_called_stale(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            for name in ("one", "two"):
                conn.execute(
                    "insert into public.jobs (org_id, name) values (gen_random_uuid(), %s)", (name,)
                )
            conn.execute("update jobsdb.metrics_refresh set refreshed_at = now() - '3 h'::interval")
        done = run("status", "-d", url)
        assert "campaigns  2 pending" in done.stdout
        assert "metrics    refreshed 3 h 0 min ago" in done.stdout
        assert "the metrics are stale" in done.stderr
        assert "select refresh_job_metrics();" in done.stderr

    def test_a_changed_function_is_pending(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(
                "update jobsdb.ledger set sha256 = repeat('0', 64)"
                " where file = 'functions/access/caller.sql'"
            )
        done = run("status", "-d", url)
        assert done.returncode == errors.Exit.NO
        assert "changed    sql/functions/access/caller.sql" in done.stdout

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("set sha256 = repeat('0', 64) where file = '{}'", "was edited after it was applied"),
            ("set file = 'migrations/20990101000000_x.sql' where file = '{}'", "is newer than"),
        ],
    )
    def test_what_migrate_would_refuse_is_said(self, url: str, change: str, said: str) -> None:
        last = sqlfiles.migrations(FILES)[-1].path
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(f"update jobsdb.ledger {change.format(last)}")
        done = run("status", "-d", url)
        assert done.returncode == errors.Exit.NO
        assert said in done.stdout.splitlines()[-1]

    def test_the_document(self, url: str, empty_url: str) -> None:
        done = run("status", "--json", "-d", url)
        assert done.returncode == 0
        document = json.loads(done.stdout)
        assert list(document) == [
            "version", "pending", "schema", "database", "package", "migrations", "changed",
            "adoption", "campaigns", "metrics",
        ]  # fmt: skip
        assert (document["version"], document["pending"]) == (1, False)
        assert document["schema"] == document["package"]["schema"] == "20251103000004"
        assert [m["state"] for m in document["migrations"]] == ["applied"] * 5
        assert {m["route"] for m in document["migrations"]} == {"migrate"}
        assert document["metrics"]["age_seconds"] >= 0
        empty = json.loads(run("status", "--json", "-d", empty_url).stdout)
        assert (empty["pending"], empty["schema"], empty["metrics"]) == (True, None, None)
        assert [m["state"] for m in empty["migrations"]] == ["pending"] * 5

    def test_it_only_reads(self, url: str) -> None:
        assert not writes(url, lambda: run("status", "-d", url))
        assert writes(url, lambda: run("migrate", "--again", "-d", url))


class TestScreen:
    def test_piped_output_has_no_control_characters(self, empty_url: str) -> None:
        done = run("migrate", "-d", empty_url)
        assert "\x1b" not in done.stdout + done.stderr
        assert all(line == line.rstrip() for line in done.stderr.splitlines())

    def test_force_color_colours_without_moving_anything(self, empty_url: str) -> None:
        done = run("migrate", "-d", empty_url, FORCE_COLOR="1")
        assert "\x1b[32m" in done.stderr
        assert "\x1b[?25l" not in done.stderr
        assert "\r" not in done.stderr

    def test_no_color_wins(self, url: str) -> None:
        done = run("status", "-d", url, FORCE_COLOR="1", NO_COLOR="1")
        assert "\x1b" not in done.stdout + done.stderr

    def test_a_terminal_gets_colours_and_what_is_running(self, server: Server) -> None:
        with new_database(server) as url:
            said = on_a_terminal("migrate", "-d", url)
            assert "\x1b[32mok" in said
            assert "20251103000000_create_jobs_system" in said
        with new_database(server) as url:
            assert "\x1b[32m" not in on_a_terminal("migrate", "-d", url, NO_COLOR="1")

    def test_names_from_a_database_cannot_drive_the_terminal(self) -> None:
        assert (
            render.clean("a\x1b[2Jb\x9bc\rd\x07\u202e") == "a\ufffd[2Jb\ufffdc\ufffdd\ufffd\ufffd"
        )

    def test_a_reader_that_goes_away_is_no_accident(self, url: str) -> None:
        process = start("status", "-d", url)
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        process.wait(timeout=60)
        assert "Traceback" not in err
        assert "did not expect" not in err

    def test_a_piped_progress_bar_is_a_line_per_tenth(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with render.progress("tasks", 1000, "rows") as advance:
            for _ in range(100):
                advance(10)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 10
        assert lines[0] == "  tasks 100 of 1,000 rows"
        assert lines[-1] == "  tasks 1,000 of 1,000 rows"

    def test_a_question_with_nobody_to_ask_is_refused(self) -> None:
        with pytest.raises(errors.Refused) as caught:
            render.confirm("Load samples into production?", yes=False)
        assert "--yes" in caught.value.hint
        assert render.confirm("Load?", yes=True)


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """Run `jobsdb` on a pseudo-terminal and return what it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobsdb", *arguments],
        env=environment(TERM="xterm", COLUMNS="100", **variables),
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux: the other side is closed
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown.decode()
    return shown.decode()


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("60s", 60), ("5min", 300), ("1.5 h", 5400), ("7", 7)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


class TestSqlFiles:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        (tmp_path / "views").mkdir()
        (tmp_path / "order.txt").write_text("# comment\n\nviews/a.sql\n")
        (tmp_path / "views" / "a.sql").write_bytes(b"\xef\xbb\xbf-- bundle 1\r\nselect 1;\r\n")
        return tmp_path

    def test_line_ends_and_byte_order_mark_do_not_count(self, tree: Path) -> None:
        (file,) = sqlfiles.load(tree)
        assert file.text == "-- bundle 1\nselect 1;\n"
        assert (file.kind, file.bundle, file.stem) == ("present", 1, "a")
        (tree / "views" / "a.sql").write_bytes(b"-- bundle 1\nselect 1;\n")
        assert sqlfiles.load(tree)[0].sha256 == file.sha256

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("views/b.sql", "-- bundle 1\n", "sql/views/b.sql is not listed"),
            ("views/a.sql", "select 1;\n", "does not say which bundle"),
            ("views/a.sql", "-- bundle 0\n", "does not say which bundle"),
            ("order.txt", "views/a.sql\nviews/gone.sql\n", "views/gone.sql is listed"),
            ("order.txt", "views/a.sql\nviews/a.sql\n", "lists views/a.sql twice"),
            ("views/a.sql", "-- bundle 1\n\0", "NUL"),
        ],
    )
    def test_a_broken_tree_is_named(self, tree: Path, name: str, text: str, said: str) -> None:
        (tree / name).write_text(text)
        with pytest.raises(errors.JobsdbError, match=said):
            sqlfiles.load(tree)

    def test_checks_and_seeds_are_not_deployed(self, tree: Path) -> None:
        (tree / "verify").mkdir()
        (tree / "verify" / "0001.sql").write_text("select 1;\n")
        assert len(sqlfiles.load(tree)) == 1

    def test_our_own_tree_is_whole(self) -> None:
        assert len(sqlfiles.migrations(FILES)) == 5
        assert {file.bundle for file in FILES} == {1, 2, 3, 4, 5}
