"""`jobsdb bundle --uninstall`: what was there before is there again, and the host loses no row."""

from pathlib import Path

import psycopg
import pytest

import world
from commands import catalog, run
from helpers import refused
from jobsdb import sqlfiles
from jobsdb.check import verify
from jobsdb.deploy import bundle, migrate, uninstall
from test_bundle import in_one_simple_query, notices, psql
from test_host_tables import CARD_ROWS, RICH, RUN_ROWS, RUNS, data
from test_migrate import changed, execute, value
from test_supabase import cluster as cluster
from test_supabase import database as database
from test_supabase import one_installer
from world import A, one

SQL = uninstall.build()
HOST = RICH + CARD_ROWS + RUNS + RUN_ROWS
ROLES = {"anon", "authenticated", "service_role"}
MAY_ENTER = """
select coalesce(array_agg(rolname::text), '{}')
from pg_roles
where rolname in ('anon', 'authenticated', 'service_role')
  and has_schema_privilege(oid, 'auth', 'usage')
"""
GONE = "select to_regnamespace('jobsdb') is null and to_regclass('public.jobs') is null"


def by_psql(url: str, folder: Path) -> str:
    """Run the file exactly as its head says; returns what was said."""
    (folder / "uninstall.sql").write_text(SQL)
    done = psql(url, "-f", str(folder / "uninstall.sql"))
    assert done.returncode == 0
    return done.stderr


def host(url: str) -> None:
    """A host with tables of its own, where there is an auth.uid() already."""
    migrate.migrate(url, only_prerequisites=True)
    execute(url, HOST)


class TestAfterwards:
    def test_an_empty_database_is_empty_again(self, empty_url: str, tmp_path: Path) -> None:
        before = catalog(empty_url)
        migrate.migrate(empty_url)
        assert "ERROR" not in by_psql(empty_url, tmp_path)
        assert catalog(empty_url) == before

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
    def test_it_takes_out_as_many_files_as_are_there(self, empty_url: str, count: int) -> None:
        before = catalog(empty_url)
        for text in list(bundle.build().values())[:count]:
            in_one_simple_query(empty_url, text)
        in_one_simple_query(empty_url, SQL)
        assert catalog(empty_url) == before

    def test_a_host_has_its_tables_as_before_and_all_rows(self, empty_url: str) -> None:
        host(empty_url)
        before = catalog(empty_url)
        with psycopg.connect(empty_url, autocommit=True) as conn:
            rows = data(conn)
            migrate.migrate(empty_url)
            job = world.new_job(conn)
            world.new_card(conn, job)
            conn.execute("delete from public.kanban_cards where job_id is not null")
            conn.execute("delete from public.jobs")
            conn.execute("truncate jobsdb.events")
            conn.execute(SQL)
            assert data(conn) == rows
        assert catalog(empty_url) == before

    @pytest.mark.parametrize("says", [None, "the host says"])
    def test_links_that_a_host_had_already_stay_as_they_were(
        self, empty_url: str, says: str | None
    ) -> None:
        host(empty_url)
        for table, column, kind in (
            ("kanban_cards", "job_id", "uuid"),
            ("kanban_cards", "task_id", "bigint"),
            ("agent_runs", "job_id", "uuid"),
        ):
            execute(empty_url, f"alter table public.{table} add column {column} {kind}")
            if says:
                execute(empty_url, f"comment on column public.{table}.{column} is '{says}'")
        before = catalog(empty_url)
        migrate.migrate(empty_url)
        with psycopg.connect(empty_url, autocommit=True) as conn:
            results = verify.examine(conn, ["structure"])
            assert [r.check.sentence for r in results if r.word in ("FAIL", "warn")] == []
        in_one_simple_query(empty_url, SQL)
        assert catalog(empty_url) == before

    def test_it_can_be_installed_and_taken_out_again_and_again(self, empty_url: str) -> None:
        host(empty_url)
        before = catalog(empty_url)
        for _ in range(3):
            migrate.migrate(empty_url)
            in_one_simple_query(empty_url, SQL)
        assert catalog(empty_url) == before

    @one_installer
    def test_what_supabase_has_stays(self, database: tuple[str, str]) -> None:
        """Auth and roles of somebody else; the deployer is no superuser."""
        address, installer = database
        url = address.replace("postgres@", f"{installer}@", 1)
        before = catalog(address)
        for text in bundle.build().values():
            in_one_simple_query(url, text)
        in_one_simple_query(url, SQL)
        assert catalog(address) == before
        assert value(address, "select to_regprocedure('auth.uid()') is not null")

    def test_nothing_is_left_in_the_catalog_either(self, empty_url: str) -> None:
        """Default privileges, statistics, publications: what the comparison above leaves out."""
        counts = (
            "select array[(select count(*) from pg_proc), (select count(*) from pg_type),"
            " (select count(*) from pg_class), (select count(*) from pg_namespace),"
            " (select count(*) from pg_default_acl), (select count(*) from pg_trigger),"
            " (select count(*) from pg_policy), (select count(*) from pg_constraint)]"
        )
        before = value(empty_url, counts)
        migrate.migrate(empty_url)
        in_one_simple_query(empty_url, SQL)
        assert value(empty_url, counts) == before

    def test_a_second_time_it_does_nothing_and_says_so(self, url: str) -> None:
        in_one_simple_query(url, SQL)
        assert notices(url, SQL) == ["jobsdb: it is not installed here, nothing to do"]

    def test_a_table_made_by_jobsdb_stays_with_its_rows(self, url: str, tmp_path: Path) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            card = world.new_card(conn, None)
            said = by_psql(url, tmp_path)
            assert "Kept, with all rows: public.kanban_cards." in said
            assert "auth.uid() is kept." in said, "a default of the table needs it"
            assert one(conn, "select id from public.kanban_cards") == card
            assert one(conn, "select to_regclass('public.agent_runs')") is None, "it was empty"
            ours = (
                "select count(*) from pg_attribute where attrelid = 'kanban_cards'::regclass"
                " and attname in ('job_id', 'task_id')"
            )
            assert one(conn, ours) == 0
            assert one(conn, "select relrowsecurity from pg_class where relname = 'kanban_cards'")
            conn.execute("update public.kanban_cards set title = 'mine now'")
            assert one(conn, GONE)
        migrate.migrate(url)
        with psycopg.connect(url, autocommit=True) as conn:
            assert one(conn, "select title from public.kanban_cards") == "mine now"
            results = verify.examine(conn, ["ledger", "structure"])
            assert [r.check.sentence for r in results if r.word == "FAIL"] == []

    def test_auth_uid_stays_where_a_function_of_the_host_calls_it(self, empty_url: str) -> None:
        migrate.migrate(empty_url)
        execute(
            empty_url,
            "create function public.me() returns uuid language plpgsql"
            " as 'begin return auth.uid(); end'",
        )
        in_one_simple_query(empty_url, SQL)
        assert value(empty_url, "select public.me() is null")

    @pytest.mark.parametrize(
        ("host_grants", "may"),
        [
            ("", set()),
            ("grant usage on schema auth to authenticated", {"authenticated"}),
            ("grant usage on schema auth to anon, authenticated, service_role", ROLES),
            ("grant usage on schema auth to public", ROLES),
        ],
    )
    def test_a_schema_auth_of_the_host_keeps_its_rights_and_no_more(
        self, empty_url: str, host_grants: str, may: set[str]
    ) -> None:
        migrate.migrate(empty_url, only_prerequisites=True)
        execute(
            empty_url, "drop schema auth cascade; create schema auth; create table auth.users ()"
        )
        execute(empty_url, host_grants)
        assert set(value(empty_url, MAY_ENTER)) == may
        migrate.migrate(empty_url)
        assert set(value(empty_url, MAY_ENTER)) == ROLES
        in_one_simple_query(empty_url, SQL)
        assert set(value(empty_url, MAY_ENTER)) == may
        assert value(empty_url, "select to_regclass('auth.users') is not null")

    def test_a_role_that_is_gone_is_in_nobodys_way(self, empty_url: str) -> None:
        migrate.migrate(empty_url, only_prerequisites=True)
        execute(empty_url, "drop schema auth cascade; create schema auth")
        migrate.migrate(empty_url)
        note = "made by jobsdb. Usage of schema auth was granted to anon, gone."
        execute(empty_url, f"comment on function auth.uid() is '{note}'")
        in_one_simple_query(empty_url, SQL)
        assert value(empty_url, "select not has_schema_privilege('anon', 'auth', 'usage')")


class TestRefusals:
    def test_it_is_refused_while_there_are_rows_and_tells_how_many(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            job = world.new_job(conn)
            world.new_task(conn, job)
            world.new_task(conn, job)
            world.new_card(conn, job)
            before = catalog(url)
            with refused(conn, "JB090", "cannot be uninstalled while it holds data") as info:
                conn.execute(SQL)
            detail, hint = info.value.diag.message_detail, info.value.diag.message_hint
            assert "public.jobs 1" in detail
            assert "public.job_tasks 2" in detail
            assert "jobsdb.events" in detail
            assert "pg_dump --table='jobsdb.*'" in hint
            assert catalog(url) == before

    @pytest.mark.parametrize(
        "statement",
        [
            f"insert into jobsdb.contacts (org_id, contact_key) values ('{A}', 'c1')",
            f"insert into jobsdb.org_members (org_id, user_id) values ('{A}', '{A}')",
            f"select jobsdb.suppress('{A}', 'address', 'ann@example.com', 'manual')",
        ],
    )
    def test_what_is_kept_beside_jobs_counts_too(self, url: str, statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(statement)
            with refused(conn, "JB090", "while it holds data"):
                conn.execute(SQL)

    def test_the_advice_it_gives_helps(self, url: str) -> None:
        """All sample campaigns, deleted as the hint says; the cards stay."""
        assert run("seed", "-d", url, "--yes").returncode == 0
        with psycopg.connect(url, autocommit=True) as conn:
            cards = one(conn, "select count(*) from public.kanban_cards")
            with refused(conn, "JB090") as info:
                conn.execute(SQL)
            hint = info.value.diag.message_hint
            statements = hint.partition("Then delete it: ")[2].partition(" (never")[0]
            assert statements.startswith("delete from public.jobs; truncate jobsdb.")
            conn.execute(statements)
            conn.execute(SQL)
            assert one(conn, GONE)
            assert one(conn, "select count(*) from public.kanban_cards") == cards > 0

    @pytest.mark.parametrize(
        ("statement", "name"),
        [
            ("create view host.v as select id, name from public.jobs", "view host.v"),
            ("create view host.v as select id, job_id from public.kanban_cards", "view host.v"),
            ("create materialized view host.m as select * from public.job_metrics",
             "materialized view host.m"),
            ("create table host.t (job uuid references public.jobs)",
             "constraint t_job_fkey on table host.t"),
            ("create table host.t (status public.job_status)",
             "column status of table host.t"),
            ("create table jobsdb.theirs ()", "table jobsdb.theirs"),
            ("create function jobsdb.theirs() returns int return 1", "function jobsdb.theirs()"),
            ("create function host.f(public.jobs) returns int return 1",
             "function host.f(public.jobs)"),
            ("create trigger theirs after insert on public.jobs execute function host.touch()",
             "trigger theirs on table public.jobs"),
            ("create index theirs on public.jobs (name)", "index public.theirs"),
            ("alter table public.jobs add constraint theirs check (name <> 'x')",
             "constraint theirs on table public.jobs"),
            ("create policy theirs on public.jobs for select to anon using (false)",
             "policy theirs on table public.jobs"),
            ("create policy theirs on host.plain using (jobsdb.may_see(org_id))",
             "policy theirs on table host.plain"),
            ("create publication theirs for table public.jobs",
             "publication of table public.jobs in publication theirs"),
            ("create statistics host.s on name, status from public.jobs",
             "statistics object host.s"),
        ],
    )  # fmt: skip
    def test_what_is_not_ours_and_stands_on_ours_stops_it(
        self, empty_url: str, statement: str, name: str
    ) -> None:
        host(empty_url)
        execute(empty_url, "create table host.plain (org_id uuid)")
        migrate.migrate(empty_url)
        execute(empty_url, statement)
        before = catalog(empty_url)
        with psycopg.connect(empty_url, autocommit=True) as conn:
            with refused(conn, "JB092", "objects that are not ours depend on jobsdb") as info:
                conn.execute(SQL)
            assert name in info.value.diag.message_detail
        assert catalog(empty_url) == before

    def test_another_release_is_refused(self, empty_url: str) -> None:
        path = "functions/access/caller.sql"
        migrate.migrate(empty_url, files=changed(sqlfiles.load(), path, "-- later\n"))
        with psycopg.connect(empty_url, autocommit=True) as conn:
            with refused(conn, "JB090", "of another release than what is installed") as info:
                conn.execute(SQL)
            assert path in info.value.diag.message_detail
            assert not one(conn, GONE)

    def test_who_did_not_install_it_cannot_take_it_out(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn, conn.transaction():
            conn.execute("create role stranger in role service_role; set role stranger")
            with refused(conn, "42501"):
                conn.execute(SQL)
            raise psycopg.Rollback


class TestWriting:
    def test_it_is_printed_or_written(self, tmp_path: Path) -> None:
        assert run("bundle", "--uninstall").stdout == SQL
        done = run("bundle", "--uninstall", str(tmp_path / "deep" / "out.sql"))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "deep" / "out.sql").read_text() == SQL

    def test_it_stands_alone(self, tmp_path: Path) -> None:
        for other in ("--check", "--supabase"):
            assert run("bundle", "--uninstall", other, str(tmp_path)).returncode == 2

    def test_no_client_encoding_changes_it(self) -> None:
        assert SQL.isascii()

    def test_it_never_cascades(self) -> None:
        statements = [line for line in SQL.splitlines() if not line.lstrip().startswith("--")]
        assert not [line for line in statements if "cascade" in line and "never" not in line]
