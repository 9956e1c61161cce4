"""`jobsdb docs`: the reference is what a migrated database, sql/ and --help say."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psycopg
import pytest

import world
from commands import differences, run
from helpers import BINDIR, SQL
from jobsdb import sqlfiles
from jobsdb.cli import cli
from jobsdb.errors import Exit, JobsdbError, Refused
from jobsdb.learn import catalog, docs, examples, lists, pictures
from jobsdb.learn.docs import Reference

FOLDER = SQL.parent / "docs" / "reference"
needs_graphviz = pytest.mark.skipif(
    shutil.which("dot") is None and os.environ.get("JOBSDB_TEST_FETCH") != "must",
    reason="graphviz is not installed here",
)


@pytest.fixture(scope="module")
def reference(module_db: psycopg.Connection) -> Reference:
    return docs.make(module_db)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what is checked in."""
    return shutil.copytree(FOLDER, tmp_path / "reference")


def test_what_is_checked_in_is_up_to_date(reference: Reference) -> None:
    """On PostgreSQL 15 as on 18. When it is not: make docs, and read the difference."""
    assert list(docs.stale(reference, FOLDER)) == []


@pytest.mark.skipif(BINDIR is not None, reason="the throw-away server is the embedded one")
def test_ci_needs_no_database() -> None:
    said = run("docs", "--check", "-o", str(FOLDER))
    assert (said.returncode, said.stdout) == (Exit.DONE, f"{FOLDER} is up to date.\n"), said.stderr


class TestCheck:
    def test_names_what_is_stale_missing_and_extra(self, folder: Path, url: str) -> None:
        with (folder / "states.md").open("a") as page:
            page.write("more\n")
        (folder / "functions" / "tick.md").unlink()
        (folder / "functions" / "tock.md").write_text((folder / "cli.md").read_text())
        picture = folder / "pictures" / "states-job.svg"
        picture.write_text(re.sub("DOT [0-9a-f]", "DOT _", picture.read_text()))
        (folder / "mine.md").write_text("# Somebody else's\n")
        said = run("docs", "--check", "-o", str(folder), "-d", url)
        assert said.returncode == Exit.NO
        assert said.stdout.splitlines() == [
            f"missing  {folder}/functions/tick.md",
            f"stale    {folder}/pictures/states-job.svg",
            f"stale    {folder}/states.md",
            f"extra    {folder}/functions/tock.md",
        ]
        assert "next: jobsdb docs" in said.stderr
        assert (folder / "functions" / "tock.md").exists()

    def test_sees_a_changed_comment(self, db: psycopg.Connection) -> None:
        db.execute("comment on function public.tick() is 'Ticks.'")
        db.execute("comment on column public.jobs.name is 'Another name'")
        db.execute("alter table public.jobs rename constraint jobs_pkey to jobs_key")
        found = {name for name, _ in docs.stale(docs.make(db), FOLDER)}
        assert found == {"functions/tick.md", "functions.md", "tables.md"}


class TestWriting:
    def test_brings_a_folder_up_to_date(self, folder: Path, reference: Reference) -> None:
        (folder / "states.md").write_text((folder / "cli.md").read_text())
        (folder / "errors.md").unlink()
        (folder / "old.md").write_text((folder / "cli.md").read_text())
        (folder / "mine.md").write_text("# Somebody else's\n")
        changed = dict(docs.write(reference, folder))
        assert changed == {"states.md": "stale", "errors.md": "missing", "old.md": "extra"}
        assert list(docs.stale(reference, folder)) == []
        assert (folder / "mine.md").exists()
        assert list(docs.write(reference, folder)) == []

    def test_leaves_what_others_wrote(self, folder: Path, reference: Reference) -> None:
        (folder / "states.md").write_text("# Mine\n")
        (folder / "errors.md").unlink()
        with pytest.raises(Refused, match=r"states\.md was not written by jobsdb docs"):
            list(docs.write(reference, folder))
        assert not (folder / "errors.md").exists()

    @needs_graphviz
    def test_draws_the_pictures(self, tmp_path: Path, reference: Reference) -> None:
        assert {why for _, why in docs.write(reference, tmp_path)} == {"missing"}
        for name in reference.pictures:
            ElementTree.parse(tmp_path / name)
        drawn = (tmp_path / "pictures" / "states-card.svg").read_text()
        assert ">a person says yes</text>" in drawn

    def test_says_that_graphviz_is_missing(
        self, tmp_path: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(JobsdbError, match="graphviz is not here") as info:
            list(docs.write(reference, tmp_path))
        assert info.value.hint == "Install it: apt-get install graphviz"


class TestExamples:
    def test_leave_nothing_behind(
        self, url: str, db: psycopg.Connection, module_db: psycopg.Connection
    ) -> None:
        examples.play(db)
        for table in ("public.jobs", "public.kanban_cards", "jobsdb.sends", "jobsdb.events"):
            assert world.one(db, f"select count(*) from {table}") == 0
        assert world.one(db, "select nextval('public.job_tasks_id_seq')") == 1
        other = url.replace(f"/{db.info.dbname}?", f"/{module_db.info.dbname}?")
        assert differences(url, other) == []

    def test_are_refused_where_somebody_works(self, url: str, db: psycopg.Connection) -> None:
        world.new_job(db)
        said = run("docs", "--check", "-d", url)
        assert said.returncode == Exit.REFUSED
        assert "this database has jobs" in said.stderr

    def test_say_the_same_every_time(self, module_db: psycopg.Connection) -> None:
        first = examples.play(module_db)
        world.one(module_db, "select nextval('public.job_tasks_id_seq')")
        assert examples.play(module_db) == first

    def test_name_no_time_and_no_id_of_the_day(self, reference: Reference) -> None:
        for name, page in reference.pages.items():
            if name.startswith("functions/"):
                assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", page), name
                assert set(re.findall(r"20\d\d-\d\d", page)) <= {"2026-01"}, name

    def test_are_there_for_every_public_name(
        self, module_db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried = examples.play(module_db)
        found = catalog.read(module_db)
        public = {each.name for each in found.functions if each.schema == "public"}
        views = {r.name for r in found.relations if r.schema == "public" and r.kind == "view"}
        assert set(tried) == public | views
        for name in ("tick", "tock"):
            now = {**tried, "tock": tried["tick"]} if name == "tock" else dict(tried)
            now.pop("tick" if name == "tick" else "", None)
            monkeypatch.setattr(examples, "play", lambda conn, now=now: now)
            with pytest.raises(JobsdbError, match=rf"examples/{name}\.sql is"):
                docs.make(module_db)

    def test_that_fail_are_named(
        self, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        shutil.copytree(SQL / "seeds", tmp_path / "seeds")
        shutil.copytree(SQL / "docs", tmp_path / "docs")
        (tmp_path / "docs" / "examples" / "tick.sql").write_text(
            "-- after sent, as tenant\nselect tick();\n"
        )
        monkeypatch.setattr(sqlfiles, "sql_root", lambda: tmp_path)
        with pytest.raises(JobsdbError, match="permission denied for function tick") as info:
            examples.play(db)
        assert info.value.at == "sql/docs/examples/tick.sql"
        assert world.one(db, "select count(*) from public.jobs") == 0


def test_rows_look_as_in_psql() -> None:
    drawn = examples.table(["id", "what"], [["1", "a\nbc"], ["20", ""]], [True, False])
    assert drawn.splitlines() == [
        " id | what",
        "----+------",
        "  1 | a   +",
        "    | bc",
        " 20 |",
        "(2 rows)",
    ]
    assert examples.table(["n"], [], [True]).endswith("\n(0 rows)")


def links(page: str) -> Iterator[str]:
    return iter(re.findall(r"\]\(([^)\s]+)\)", page))


def anchors(page: str) -> set[str]:
    return {head.lower().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", page, re.M)}


def test_every_link_leads_somewhere(reference: Reference) -> None:
    for name, page in reference.pages.items():
        for link in links(page):
            path, _, anchor = link.partition("#")
            target = (FOLDER / name).parent / path if path else FOLDER / name
            assert target.exists(), (name, link)
            if anchor:
                assert anchor in anchors(target.read_text()), (name, link)


def test_every_code_is_explained_where_it_is_raised(reference: Reference) -> None:
    said = reference.pages["errors.md"]
    raised = {
        code for file in sqlfiles.load() for code in re.findall(r"errcode = '(JB\d{3})'", file.text)
    }
    assert raised <= set(lists.codes())
    assert lists.codes().keys() - raised == {"JB091"}  # kept free, and said so
    assert said.count("the code is kept free") == 1
    assert "[review_card](functions/review_card.md): content without an approval" in said


def test_every_legal_move_is_in_the_diagrams(
    reference: Reference, module_db: psycopg.Connection
) -> None:
    said = reference.pages["states.md"]
    moves = module_db.execute("select from_status, to_status, meaning from jobsdb.transitions")
    for source, target, meaning in moves:
        assert f"  {source} --> {target}: {meaning.replace(';', ',')}\n" in said
    assert said.count("```mermaid") == 3


def test_every_command_is_told(reference: Reference) -> None:
    said = reference.pages["cli.md"]
    for name in cli.commands:
        assert f"\n## jobsdb {name}\n" in said
    assert "## jobsdb local start" in said
    assert max(map(len, said.splitlines())) <= 80


def test_every_check_is_told(reference: Reference) -> None:
    told = re.findall(r"^\| \[(\d{4})\]", reference.pages["checks.md"], re.M)
    files = [*(SQL / "verify").glob("[0-9]*.sql"), *(SQL / "verify" / "behaviour").glob("[0-9]*")]
    assert told == sorted(file.name[:4] for file in files)


def test_a_timeline_is_in_firing_order(module_db: psycopg.Connection) -> None:
    cards = catalog.read(module_db).relation("public.kanban_cards")
    drawn = pictures.timeline(cards).mermaid
    assert (
        "update --> update_jobsdb_t20_complete_upd --> update_jobsdb_t25_stamp_upd"
        " --> update_jobsdb_t30_guard --> update_jobsdb_t40_send_upd"
        " --> update_jobsdb_t50_metrics_upd --> update_jobsdb_t55_queue_upd" in drawn
    )
