"""The five hand-installable files: every route gives what `jobsdb migrate` gives, or refuses."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import psycopg
import pytest
from psycopg import pq

from commands import catalog, database, differences, run
from helpers import BINDIR, new_database
from jobsdb import errors, sqlfiles
from jobsdb.deploy import adoption, bundle, migrate
from jobsdb.local import Server
from test_migrate import FILES, HOST_TABLES, changed, execute, is_untouched, ledger, value

TEXTS = bundle.build()
NAMES = list(TEXTS)
Route = Callable[[str, str], None]


def in_one_simple_query(url: str, text: str) -> None:
    """As an SQL editor sends what was pasted into it."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(text)


def as_one_extended_statement(url: str, text: str) -> None:
    """As `supabase db push` sends a statement."""
    with psycopg.connect(url, autocommit=True) as conn:
        result = conn.pgconn.exec_params(text.encode(), [])
        assert result.status == pq.ExecStatus.COMMAND_OK, result.error_message.decode()


def in_a_transaction_with_more(url: str, text: str) -> None:
    """Pasted above and below something else."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"create temporary table mine ();\n{text}\nselect count(*) from mine")


def psql(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("psql") if BINDIR is None else str(BINDIR / "psql")
    if program is None or not Path(program).exists():
        pytest.skip("psql is not installed")
    environment = {**os.environ, "PGOPTIONS": "", "LC_ALL": "C"}
    return subprocess.run(
        [program, "-X", url, *arguments], capture_output=True, text=True, env=environment
    )


@pytest.fixture
def by_psql(tmp_path: Path) -> Route:
    def send(url: str, text: str) -> None:
        (tmp_path / "file.sql").write_text(text)
        done = psql(url, "-f", str(tmp_path / "file.sql"))
        assert "ERROR" not in done.stderr, done.stderr

    return send


@pytest.fixture
def by_psql_1(tmp_path: Path) -> Route:
    def send(url: str, text: str) -> None:
        (tmp_path / "file.sql").write_text(text)
        done = psql(url, "-1", "-f", str(tmp_path / "file.sql"))
        assert "ERROR" not in done.stderr, done.stderr

    return send


def route(request: pytest.FixtureRequest, name: str) -> Route:
    return request.getfixturevalue(name) if name.startswith("by_") else globals()[name]


ROUTES = [
    "by_psql",
    "by_psql_1",
    "in_one_simple_query",
    "as_one_extended_statement",
    "in_a_transaction_with_more",
]


def refusal(url: str, text: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        in_one_simple_query(url, text)
    return caught.value


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that will happen in another session."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def notices(url: str, text: str) -> list[str]:
    said: list[str] = []
    with psycopg.connect(url, autocommit=True) as conn:
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary))
        conn.execute(text)
    return said


class TestInstalling:
    @pytest.mark.parametrize("name", ROUTES)
    def test_every_route_gives_what_migrate_gives(
        self, empty_url: str, url: str, name: str, request: pytest.FixtureRequest
    ) -> None:
        send = route(request, name)
        for text in TEXTS.values():
            send(empty_url, text)
        assert differences(empty_url, url) == []
        assert ledger(empty_url) == ledger(url)
        routes = "select array_agg(distinct route) from jobsdb.ledger"
        assert value(empty_url, routes) == ["bundle"]
        again = migrate.migrate(empty_url)
        assert (again.applied, again.refreshed, again.adopted) == ((), 0, ())

    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    def test_migrate_goes_on_where_the_files_stopped(
        self, empty_url: str, url: str, count: int
    ) -> None:
        for name in NAMES[:count]:
            in_one_simple_query(empty_url, TEXTS[name])
        assert len(migrate.migrate(empty_url).applied) == 5 - count
        assert differences(empty_url, url) == []

    def test_a_file_run_again_does_nothing_and_says_so(self, url: str) -> None:
        before = catalog(url), value(url, "select count(*) from jobsdb.ledger")
        for number, text in enumerate(TEXTS.values(), 1):
            said = notices(url, text)
            assert said == [f"jobsdb: file {number} of 5 was installed before, nothing to do"]
        assert (catalog(url), value(url, "select count(*) from jobsdb.ledger")) == before

    def test_it_puts_back_what_it_sets(self, empty_url: str) -> None:
        names = ("search_path", "lock_timeout", "client_min_messages", "jobsdb.runner")
        with psycopg.connect(empty_url) as conn:
            conn.execute(
                "set local search_path = public, pg_catalog; set local lock_timeout = '7s'"
            )
            for text in TEXTS.values():
                conn.execute(text)
            now = [conn.execute(f"show {name}").fetchone()[0] for name in names]
        assert now == ["public, pg_catalog", "7s", "notice", ""]

    def test_hostile_names_on_the_search_path_are_not_used(self, empty_url: str, url: str) -> None:
        execute(
            empty_url,
            "create schema evil; create function evil.set_config(text, text, bool) returns text"
            " language sql as 'select (1/0)::text'",
        )
        name = database(empty_url)
        execute(empty_url, f"alter database {name} set search_path = evil, pg_catalog")
        for text in TEXTS.values():
            in_one_simple_query(empty_url, text)
        execute(empty_url, f"drop schema evil cascade; alter database {name} reset search_path")
        assert differences(empty_url, url) == []


class TestSupabaseLike:
    """Roles and auth.uid() of somebody else, defaults that grant everything, no superuser."""

    @pytest.fixture
    def urls(self, server: Server) -> Iterator[list[str]]:
        role = f"installer_{os.getpid()}"
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"create role {role} login bypassrls")
        with new_database(server) as one, new_database(server) as two:
            for url in (one, two):
                migrate.migrate(url, only_prerequisites=True)
                execute(url, f"alter database {database(url)} owner to {role}")
                execute(url, f"alter schema public owner to {role}")
                execute(url, f"grant usage on schema auth to {role}")
                for kind in ("tables", "sequences", "functions"):
                    execute(
                        url,
                        f"alter default privileges for role {role} grant all on {kind}"
                        " to anon, authenticated, service_role",
                    )
            yield [url.replace("postgres@", f"{role}@") for url in (one, two)]
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"drop role {role}")

    def test_the_files_give_what_migrate_gives(self, urls: list[str]) -> None:
        migrate.migrate(urls[0])
        for text in TEXTS.values():
            as_one_extended_statement(urls[1], text)
        assert differences(*urls) == []


class TestHostTables:
    def test_small_tables_are_adopted_in_place(self, empty_url: str) -> None:
        execute(empty_url, HOST_TABLES)
        for text in TEXTS.values():
            in_one_simple_query(empty_url, text)
        with psycopg.connect(empty_url, autocommit=True) as conn:
            assert adoption.remaining(conn) == []

    def test_big_tables_are_left_and_the_statements_printed(self, empty_url: str) -> None:
        execute(empty_url, HOST_TABLES)
        execute(
            empty_url,
            "insert into public.kanban_cards (org_id, type) select gen_random_uuid(), 'x'"
            " from generate_series(1, 100001)",
        )
        in_one_simple_query(empty_url, TEXTS[NAMES[0]])
        said = "\n".join(notices(empty_url, TEXTS[NAMES[1]]))
        with psycopg.connect(empty_url, autocommit=True) as conn:
            steps = adoption.remaining(conn)
            assert steps
            assert all(step in said for step in steps)
            for step in steps:
                conn.execute(step)
            assert adoption.remaining(conn) == []


class TestRefusals:
    @pytest.mark.parametrize("number", [1, 2, 3, 4])
    def test_a_file_before_its_turn_is_refused(self, empty_url: str, number: int) -> None:
        for name in NAMES[: number - 1]:
            in_one_simple_query(empty_url, TEXTS[name])
        refused = refusal(empty_url, TEXTS[NAMES[number]])
        assert refused.sqlstate == "JB090"
        assert refused.diag.message_primary == f'this file needs "{NAMES[number - 1]}" first'
        assert refused.diag.message_detail
        assert "in the order of their names" in refused.diag.message_hint

    def test_another_text_of_an_installed_migration_is_refused(self, url: str) -> None:
        first = sqlfiles.migrations(FILES)[0]
        edited = bundle.build(changed(FILES, first.path, "-- edited\n"))
        refused = refusal(url, edited[NAMES[0]])
        assert refused.sqlstate == "JB090"
        assert "was edited after this database got it" in refused.diag.message_primary
        assert first.sha256[:12] in refused.diag.message_detail

    def test_a_foreign_table_stops_it_and_nothing_is_left(self, empty_url: str) -> None:
        execute(empty_url, "create table public.jobs ()")
        assert refusal(empty_url, TEXTS[NAMES[0]]).sqlstate == "JB092"
        assert is_untouched(empty_url)

    def test_two_deployments_at_once_wait_for_each_other(self, empty_url: str) -> None:
        with psycopg.connect(empty_url) as holder:
            holder.execute("select pg_advisory_xact_lock(%s)", (migrate.LOCK_KEY,))
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(in_one_simple_query, empty_url, TEXTS[NAMES[0]])
                query = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
                until(lambda: value(empty_url, query) == 1)
                assert is_untouched(empty_url)
                holder.commit()
                waiting.result(timeout=60)
        assert not is_untouched(empty_url)

    def test_where_it_could_not_see_what_another_does_it_refuses_at_once(
        self, empty_url: str
    ) -> None:
        """A snapshot that is older than the lock shows neither tables nor ledger of the other."""
        begin = "begin isolation level serializable; select 1"
        with psycopg.connect(empty_url, autocommit=True) as conn:
            conn.execute(begin)
            with psycopg.connect(empty_url) as holder:
                holder.execute("select pg_advisory_xact_lock(%s)", (migrate.LOCK_KEY,))
                with pytest.raises(psycopg.Error, match="another deployment is running") as busy:
                    conn.execute(TEXTS[NAMES[0]])
            conn.execute("rollback")
            assert busy.value.sqlstate == "JB090"
            assert is_untouched(empty_url)
            conn.execute(begin)
            in_one_simple_query(empty_url, TEXTS[NAMES[0]])
            with pytest.raises(psycopg.Error, match="another deployment is running"):
                conn.execute(TEXTS[NAMES[0]])
            conn.execute("rollback")
            conn.execute(begin)
            conn.execute(f"{TEXTS[NAMES[1]]}; commit")
        assert list(ledger(empty_url))[-1] in TEXTS[NAMES[1]]


# What a role or a database may have set, and of what a file says so instead of working.
HOSTILE_SETTINGS = [
    "default_transaction_isolation = 'serializable'",
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_deferrable = on",
    "search_path = evil, pg_catalog, public",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "standard_conforming_strings = off",
    "check_function_bodies = off",
    "transform_null_equals = on",
    "quote_all_identifiers = on",
    "row_security = off",
    "datestyle = 'German'",
    "bytea_output = 'escape'",
    "client_min_messages = error",
]
REFUSED_SETTINGS = [
    ("default_transaction_read_only = on", "in a transaction that only reads"),
    ("statement_timeout = '1s'", "a statement_timeout of 1s is too short"),
    ("client_encoding = 'LATIN1'", "this file was sent as LATIN1, but it is UTF-8"),
    ("client_encoding = 'WIN1252'", "this file was sent as WIN1252, but it is UTF-8"),
]


def reset(url: str) -> None:
    """Forget what was set for a database."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set default_transaction_read_only = off")
        conn.execute(f"alter database {database(url)} reset all")


class TestWhatASessionMayHaveSet:
    def test_it_makes_no_difference(self, empty_url: str, url: str, by_psql: Route) -> None:
        """All at once, by psql and as an editor sends it."""
        execute(empty_url, "create schema evil; create function evil.now() returns int return 1")
        name = database(empty_url)
        for setting in HOSTILE_SETTINGS:
            execute(empty_url, f"alter database {name} set {setting}")
        for number, text in enumerate(TEXTS.values()):
            (by_psql if number % 2 else in_one_simple_query)(empty_url, text)
        execute(empty_url, f"alter database {name} reset all; drop schema evil cascade")
        assert differences(empty_url, url) == []
        assert ledger(empty_url) == ledger(url)

    @pytest.mark.parametrize("setting", HOSTILE_SETTINGS)
    def test_each_alone_makes_no_difference(self, empty_url: str, url: str, setting: str) -> None:
        execute(empty_url, "create schema evil; create function evil.now() returns int return 1")
        execute(empty_url, f"alter database {database(empty_url)} set {setting}")
        for text in TEXTS.values():
            in_one_simple_query(empty_url, text)
        execute(empty_url, f"alter database {database(empty_url)} reset all")
        execute(empty_url, "drop schema evil cascade")
        assert differences(empty_url, url) == []

    @pytest.mark.parametrize(("setting", "told"), REFUSED_SETTINGS)
    def test_what_one_statement_cannot_change_is_said_and_nothing_done(
        self, empty_url: str, setting: str, told: str, tmp_path: Path
    ) -> None:
        name = database(empty_url)
        execute(empty_url, f"alter database {name} set {setting}")
        with psycopg.connect(empty_url, autocommit=True) as conn:
            if "encoding" in setting:  # psycopg asks for its own: as psql, it would not
                conn.execute(f"set {setting}")
            result = conn.pgconn.exec_(TEXTS[NAMES[0]].encode())
        said = result.error_message.decode("latin-1")
        assert told in said
        assert "set" in said.partition("HINT:")[2]
        (tmp_path / "file.sql").write_text(TEXTS[NAMES[0]])
        assert told in psql(empty_url, "-f", str(tmp_path / "file.sql")).stderr
        reset(empty_url)
        assert is_untouched(empty_url)

    def test_a_clock_that_is_shorter_still_stops_it_before_anything_is_done(
        self, empty_url: str
    ) -> None:
        for timeout in ("1ms", "5ms", "30ms"):
            with psycopg.connect(empty_url, autocommit=True) as conn:
                conn.execute(f"set statement_timeout = '{timeout}'")
                with pytest.raises(psycopg.Error, match=r"statement_timeout|canceling statement"):
                    conn.execute(TEXTS[NAMES[0]])
            assert is_untouched(empty_url)

    def test_the_advice_it_gives_helps(self, empty_url: str, url: str, tmp_path: Path) -> None:
        name = database(empty_url)
        for setting, _ in REFUSED_SETTINGS[:3]:
            with psycopg.connect(empty_url, autocommit=True) as conn:
                conn.execute("set default_transaction_read_only = off")
                conn.execute(f"alter database {name} set {setting}")
        for file, text in TEXTS.items():
            (tmp_path / file).write_text(
                "set default_transaction_read_only = off; set statement_timeout = 0;"
                f" set client_encoding = 'UTF8';\n{text}"
            )
            done = psql(empty_url, "-f", str(tmp_path / file))
            assert "ERROR" not in done.stderr, done.stderr
        reset(empty_url)
        assert differences(empty_url, url) == []

    def test_a_standby_is_told_apart_from_a_session_that_only_reads(self) -> None:
        """The order of the questions: on a standby every transaction only reads."""
        text = TEXTS[NAMES[0]]
        assert 0 < text.index("pg_is_in_recovery()") < text.index("'transaction_read_only'")


class TestWhatEditorsDoToFiles:
    @pytest.mark.parametrize("name", ROUTES)
    def test_line_ends_of_windows_make_no_difference(
        self, empty_url: str, url: str, name: str, request: pytest.FixtureRequest
    ) -> None:
        send = route(request, name)
        for text in TEXTS.values():
            send(empty_url, text.replace("\n", "\r\n"))
        assert differences(empty_url, url) == []
        assert ledger(empty_url) == ledger(url)

    def test_psql_reads_over_a_byte_order_mark(
        self, empty_url: str, url: str, by_psql: Route
    ) -> None:
        for text in TEXTS.values():
            by_psql(empty_url, "\ufeff" + text.replace("\n", "\r\n"))
        assert differences(empty_url, url) == []

    def test_pasted_with_a_byte_order_mark_nothing_is_done(self, empty_url: str) -> None:
        assert refusal(empty_url, "\ufeff" + TEXTS[NAMES[0]]).sqlstate == "42601"
        assert is_untouched(empty_url)

    @pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.999])
    def test_a_part_of_a_file_does_nothing(self, empty_url: str, part: float) -> None:
        """A paste that was cut short."""
        text = TEXTS[NAMES[0]]
        assert refusal(empty_url, text[: int(len(text) * part)]).sqlstate == "42601"
        assert is_untouched(empty_url)

    def test_a_file_killed_at_any_moment_has_done_nothing(self, empty_url: str) -> None:
        text = TEXTS[NAMES[0]]
        for seconds in (0.02, 0.05, 0.1, 0.2):
            with psycopg.connect(empty_url, autocommit=True) as conn:
                timer = Timer(seconds, conn.cancel_safe)
                timer.start()
                try:
                    conn.execute(text)
                except psycopg.errors.QueryCanceled:
                    assert is_untouched(empty_url)
                else:
                    break
                finally:
                    timer.join()
        in_one_simple_query(empty_url, text)


class TestWriting:
    def test_it_writes_five_files_always_the_same(self, tmp_path: Path) -> None:
        one = run("bundle", str(tmp_path / "deep" / "one"))
        assert one.returncode == 0, one.stderr
        assert [line.split()[0] for line in one.stdout.splitlines()] == ["written"] * 5
        two = run("bundle", str(tmp_path / "deep" / "one"))
        assert [line.split()[0] for line in two.stdout.splitlines()] == ["unchanged"] * 5
        found = {path.name: path.read_text() for path in (tmp_path / "deep" / "one").iterdir()}
        assert found == TEXTS
        assert list(TEXTS) == [
            "20251103000000_create_jobs_system.sql",
            "20251103000001_add_job_links.sql",
            "20251103000002_create_job_metrics_view.sql",
            "20251103000003_create_campaigns.sql",
            "20251103000004_create_sends.sql",
        ]

    def test_a_file_of_somebody_else_is_never_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / NAMES[2]).write_text("create table mine ();\n")
        refused = run("bundle", str(tmp_path))
        assert refused.returncode == errors.Exit.REFUSED
        assert "is not a file written by jobsdb" in refused.stderr
        assert [path.name for path in tmp_path.iterdir()] == [NAMES[2]]
        assert (tmp_path / NAMES[2]).read_text() == "create table mine ();\n"

    def test_an_older_file_of_ours_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / NAMES[0]).write_text(f"{bundle.MARK}1 of 5: older\n")
        assert dict(bundle.write(tmp_path))[tmp_path / NAMES[0]]
        assert (tmp_path / NAMES[0]).read_text() == TEXTS[NAMES[0]]

    def test_an_impossible_folder_is_a_usage_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        refused = run("bundle", str(tmp_path / "file"))
        assert refused.returncode == errors.Exit.USAGE
        assert "cannot write to" in refused.stderr

    def test_the_head_says_what_it_is_and_lists_every_hash(self) -> None:
        listed = "\n".join(TEXTS.values())
        for file in FILES:
            assert f"{file.sha256}  {file.path}" in listed
        for number, (name, text) in enumerate(TEXTS.items(), 1):
            assert text.startswith(f"-- jobsdb bundle {number} of 5: {name}\n")
            assert f"psql URL -f {name}" in text

    def test_quotes_inside_do_not_end_it(self, empty_url: str) -> None:
        text = "\nselect $jobsdb_sql$ $jobsdb_bundle$ $jobsdb_sql$, $$ x $$ -- no semicolon"
        built = bundle.build(changed(FILES, "functions/access/caller.sql", text))
        for part in built.values():
            in_one_simple_query(empty_url, part)
        assert migrate.migrate(empty_url).refreshed
