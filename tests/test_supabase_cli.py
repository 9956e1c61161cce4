"""The real `supabase` command pushes the files; what it leaves is what `jobsdb migrate` leaves.

It is fetched from the npm registry, in which the whole program is; it speaks TCP only, so a socket
on loopback leads to the server's.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import registries
from commands import catalog, differences, run
from door import door
from helpers import new_database
from jobsdb.deploy import bundle, folder, uninstall
from jobsdb.deploy.migrate import migrate
from jobsdb.local import Server
from test_folder import LATER, LATEST
from test_migrate import FILES, ledger, value
from test_supabase import DATABASE, GRANTS_BY_DEFAULT
from test_supabase import cluster as cluster

PACKAGE = "supabase@3.1.0"
Supabase = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def program(scratch: Path) -> Path:
    """The command, installed without running anything of the internet but the registry."""
    return registries.npm(scratch / "supabase-cli", PACKAGE, "supabase")


@pytest.fixture(scope="module")
def port(cluster: Server) -> Iterator[int]:
    """A port on loopback that leads to the server's socket."""

    with door(cluster.socket_dir, cluster.port) as number:
        yield number


@pytest.fixture
def url(cluster: Server) -> Iterator[str]:
    """A database as Supabase hands it out, for its deployer."""
    with new_database(cluster) as address:
        with psycopg.connect(address, autocommit=True) as conn:
            conn.execute(DATABASE)
            conn.execute(GRANTS_BY_DEFAULT.format("installer"))
            conn.execute(f'alter database "{conn.info.dbname}" owner to installer')
        yield address.replace("postgres@", "installer@", 1)
        with psycopg.connect(address, autocommit=True) as conn:
            conn.execute("drop owned by installer cascade")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a project; returns where its migrations are."""
    (tmp_path / "supabase").mkdir()
    (tmp_path / "supabase" / "config.toml").write_text('project_id = "host"\n')
    return tmp_path / "supabase" / "migrations"


@pytest.fixture
def supabase(program: Path, port: int, url: str, project: Path) -> Supabase:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        name = url.partition("?")[0].rpartition("/")[2]
        address = f"postgresql://installer:x@127.0.0.1:{port}/{name}?sslmode=disable"
        return subprocess.run(
            [program, *arguments, "--db-url", address],
            cwd=project.parent.parent,
            env={**os.environ, "HOME": str(project), "DO_NOT_TRACK": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def push(supabase: Supabase) -> str:
    done = supabase("db", "push", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def history(url: str) -> list[str]:
    """What Supabase notes: the numbers of the files it has run."""
    with psycopg.connect(url) as conn:
        query = "select version from supabase_migrations.schema_migrations order by 1"
        return [version for (version,) in conn.execute(query)]


def test_a_push_leaves_what_migrate_leaves_and_verifies_clean(
    supabase: Supabase, url: str, project: Path, cluster: Server
) -> None:
    folder.write(project, datetime.now(UTC))
    said = push(supabase)
    assert said.count("Applying migration") == 5
    assert history(url) == [name.partition("_")[0] for name in bundle.build()]
    verified = run("verify", "-d", url)
    assert verified.returncode == 0, verified.stdout
    with new_database(cluster) as other, psycopg.connect(other, autocommit=True) as conn:
        conn.execute(DATABASE)
        conn.execute(GRANTS_BY_DEFAULT.format("installer"))
        conn.execute(f'alter database "{conn.info.dbname}" owner to installer')
        theirs = other.replace("postgres@", "installer@", 1)
        migrate(theirs)
        assert differences(url, theirs) == []
        assert ledger(url) == ledger(theirs)
        conn.execute("drop owned by installer cascade")
    assert "up to date" in push(supabase)
    listed = supabase("migration", "list").stdout
    for version in history(url):
        assert listed.count(version) == 2, "here and there"


def test_a_newer_release_is_one_more_push(supabase: Supabase, url: str, project: Path) -> None:
    for count, files in enumerate((FILES, LATER, LATEST)):
        folder.write(project, datetime.now(UTC), files)
        said = push(supabase)
        assert said.count("Applying migration") == (1 if count else 5)
        assert ledger(url) == {**ledger(url), **{file.path: file.sha256 for file in files}}
        again = migrate(url, files=files)
        assert (again.applied, again.refreshed) == ((), 0)
    assert len(history(url)) == 7


def test_line_ends_of_windows_make_no_difference(
    supabase: Supabase, url: str, project: Path
) -> None:
    folder.write(project, datetime.now(UTC))
    for file in project.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    push(supabase)
    assert run("verify", "-d", url, "--layer", "ledger", "--layer", "structure").returncode == 0


def test_a_file_that_fails_leaves_nothing_of_itself_and_the_next_push_goes_on(
    supabase: Supabase, url: str, project: Path
) -> None:
    folder.write(project, datetime.now(UTC))
    third = sorted(project.iterdir())[2]
    whole = third.read_text()
    third.write_text(whole.replace("    perform jobsdb.record_applied(", "    perform 1/0, ("))
    failed = supabase("db", "push", "--yes")
    assert failed.returncode != 0
    assert len(history(url)) == 2
    assert value(url, "select to_regclass('jobsdb.metrics_refresh') is null")
    third.write_text(whole)
    push(supabase)
    assert len(history(url)) == 5
    assert run("verify", "-d", url, "--layer", "ledger").returncode == 0


def test_a_setting_one_statement_cannot_change_is_said_by_the_command(
    supabase: Supabase, url: str, project: Path
) -> None:
    with psycopg.connect(url.replace("installer@", "postgres@"), autocommit=True) as admin:
        admin.execute("alter role installer set statement_timeout = '2s'")
        try:
            folder.write(project, datetime.now(UTC))
            failed = supabase("db", "push", "--yes")
        finally:
            admin.execute("alter role installer reset all")
    assert failed.returncode != 0
    assert "a statement_timeout of 2s is too short" in failed.stdout + failed.stderr
    assert history(url) == []


def test_lint_finds_no_error(supabase: Supabase, url: str, project: Path) -> None:
    with psycopg.connect(url.replace("installer@", "postgres@"), autocommit=True) as admin:
        query = "select count(*) from pg_available_extensions where name = 'plpgsql_check'"
        if admin.execute(query).fetchone() == (0,):
            pytest.skip("the server has no plpgsql_check, with which it lints")
        folder.write(project, datetime.now(UTC))
        push(supabase)
        admin.execute("create extension plpgsql_check")
        done = supabase("db", "lint", "--level", "error", "--fail-on", "error")
        admin.execute("drop extension plpgsql_check")
    found = json.loads(done.stdout[done.stdout.index("[") :]) if "[" in done.stdout else []
    assert [(f["function"], f["issues"]) for f in found] == []
    assert done.returncode == 0, done.stdout + done.stderr


def test_after_uninstalling_and_a_repair_it_can_be_pushed_again(
    supabase: Supabase, url: str, project: Path
) -> None:
    folder.write(project, datetime.now(UTC))
    before = catalog(url)
    push(supabase)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(uninstall.build())
    assert catalog(url) == before
    repaired = supabase("migration", "repair", "--status", "reverted", *history(url), "--yes")
    assert repaired.returncode == 0, repaired.stderr
    assert push(supabase).count("Applying migration") == 5
