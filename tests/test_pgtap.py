"""The contract by pgTAP: tests/pgtap/, in PostgreSQL's own testing tool, run by `pg_prove`.

Needs what Debian has for its PostgreSQL: postgresql-15-pgtap and
libtap-parser-sourcehandler-pgtap-perl.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from helpers import BINDIR

HERE = Path(__file__).parent / "pgtap"
FILES = sorted(HERE.glob("[0-9]_*.sql"))
TOLD = "select 1 from pg_available_extensions where name = 'pgtap'"


@pytest.fixture
def tapped(url: str) -> str:
    """The URL of a database with jobsdb and pgTAP."""
    if BINDIR is None:
        pytest.skip("the embedded PostgreSQL has no pgTAP; it is tried on Debian's")
    with psycopg.connect(url, autocommit=True) as conn:
        missing = [
            name
            for name, is_there in (
                ("the extension pgtap", conn.execute(TOLD).fetchone()),
                ("the program pg_prove", shutil.which("pg_prove")),
            )
            if not is_there
        ]
        if missing and os.environ.get("JOBSDB_TEST_FETCH") != "must":
            pytest.skip(f"{' and '.join(missing)} cannot be had here")
        assert missing == []
        conn.execute((HERE / "setup.sql").read_text())
    return url


def pg_prove(url: str) -> subprocess.CompletedProcess[str]:
    """Run all files; the address goes by libpq's variables."""
    info = psycopg.conninfo.conninfo_to_dict(url)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    settings = {names[key]: str(value) for key, value in info.items()}
    command = ["pg_prove", "--verbose", "--psql-bin", str(BINDIR / "psql"), *map(str, FILES)]
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120
    )


def test_pg_prove_passes(tapped: str) -> None:
    done = pg_prove(tapped)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nResult: PASS\n" in done.stdout
    assert f"\nFiles={len(FILES)}, " in done.stdout


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("alter table public.jobs disable row level security", "another organisation sees no jobs"),
        ("drop policy tenant_reads_own_jobs on public.jobs", "jobs have these policies"),
        ("grant select on public.jobs to anon", "strangers may do nothing with jobs"),
        ("drop index public.jobs_newest_of_org", "jobs are listed by organisation"),
        ("alter table public.jobs disable trigger user", "no way leads from cancelled to running"),
        ("alter table public.kanban_cards disable trigger user", "an agent cannot approve"),
    ],
)
def test_what_is_broken_fails_by_name(tapped: str, wrong: str, sentence: str) -> None:
    with psycopg.connect(tapped, autocommit=True) as conn:
        conn.execute(wrong)
    done = pg_prove(tapped)
    assert done.returncode != 0
    assert re.search(rf"^not ok \d+ - {sentence}$", done.stdout, re.MULTILINE), done.stdout
