"""A healthy database stays healthy for `verify` wherever it is moved to, and whoever owns it."""

import subprocess
from pathlib import Path

import psycopg
import pytest

import world
from helpers import BINDIR, new_database
from jobsdb import local, pgbin
from jobsdb.check import behaviour, verify
from jobsdb.deploy.migrate import migrate
from test_verify import fill, not_ok

OLD = Path("/usr/lib/postgresql/15/bin")


def test_after_pg_upgrade_from_15(data_root: Path) -> None:
    old = local.start("old", bindir=OLD, data_root=data_root) if OLD.exists() else None
    account = pgbin.choose_account(data_root / "old") if old else None
    new, major = pgbin.find_binaries(data_root, data_root / "new" / "data", account, None)
    if old is None or major < 18 or not (new / "pg_upgrade").exists():
        pytest.skip("needs the programs of PostgreSQL 15 and 18")
    migrate(old.url())
    with psycopg.connect(old.url(), autocommit=True) as conn:
        fill(conn)
        before = world.one(conn, "select sum(tasks_total) from public.jobs")
    local.stop("old", data_root)
    home = data_root / "new"
    pgbin.own_folder(home, account)

    def run(program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [str(new / program), *map(str, arguments)],
            cwd=home,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=account and [],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = home / "data"
    alike = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
    run("initdb", "-D", data, *alike, "--no-data-checksums")
    run("pg_upgrade", "-b", OLD, "-B", new, "-d", data_root / "old" / "data", "-D", data,
        "-U", "postgres", "-s", home)  # fmt: skip

    server = local.start("new", bindir=new, data_root=data_root)
    with psycopg.connect(server.url(), autocommit=True) as conn:
        assert conn.info.server_version >= 180000
        assert before
        assert before == world.one(conn, "select sum(tasks_total) from public.jobs")
        assert not_ok(verify.examine(conn)) == {}
        assert not_ok(behaviour.prove(conn, yes=True)) == {}
    assert migrate(server.url()).applied == ()


def test_with_an_owner_of_another_name(data_root: Path) -> None:
    server = local.start("own", bindir=BINDIR, data_root=data_root)
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("create role deployer login createrole bypassrls")
        admin.execute("create database of_his owner deployer")
    url = server.url("of_his")
    migrate(url.replace("postgres@", "deployer@"))
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute('alter role deployer rename to "Somebody else"')
    with psycopg.connect(url, autocommit=True) as conn:
        fill(conn)
        assert not_ok(verify.examine(conn)) == {}
        conn.execute("create role heir bypassrls; grant create on database of_his to heir")
        conn.execute("grant create on schema public to heir")
        conn.execute('reassign owned by "Somebody else" to heir')
        assert not_ok(verify.examine(conn)) == {}


def test_with_the_hosts_triggers_and_columns_on_adopted_and_settings_of_its_own(
    server: local.Server, template: str
) -> None:
    with new_database(server, template) as url, psycopg.connect(url, autocommit=True) as conn:
        name = conn.info.dbname
        for setting, value in (
            ("search_path", "'extensions, public'"),
            ("timezone", "'Asia/Tokyo'"),
            ("datestyle", "'German, DMY'"),
            ("intervalstyle", "'iso_8601'"),
            ("quote_all_identifiers", "on"),
            ("transform_null_equals", "on"),
            ("default_transaction_isolation", "'serializable'"),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "'9s'"),
            ("row_security", "off"),
        ):
            conn.execute(f"alter database {name} set {setting} = {value}")
        with psycopg.connect(url, autocommit=True) as other:
            assert world.one(other, "show intervalstyle") == "iso_8601"
            assert not_ok(verify.examine(other)) == {}
            assert world.one(other, "show timezone") == "Asia/Tokyo"
