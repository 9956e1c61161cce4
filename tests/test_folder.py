"""A folder of numbered files, as Supabase has it: a newer release adds one, and touches none."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands import catalog, differences, run
from jobsdb import errors
from jobsdb.deploy import bundle, folder, migrate, script
from jobsdb.sqlfiles import SqlFile
from test_bundle import NAMES, TEXTS, in_one_simple_query, notices, refusal
from test_migrate import CREATE_NEXT, FILES, MIGRATIONS, NEXT, changed, extra, is_untouched, ledger

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
CALLER = "functions/access/caller.sql"
LATER = changed(FILES, CALLER, "-- later\n")
"""A release in which a function is another."""
LATEST = extra(changed(LATER, CALLER, "-- latest\n"), NEXT, CREATE_NEXT, "migration")
"""One with a migration besides."""


def write(path: Path, files: Sequence[SqlFile] = FILES, now: datetime = NOON) -> list[str]:
    """Write into a folder; returns the names of what is new."""
    return [file.name for file, new in folder.write(path, now, files) if new]


def words(path: Path, files: Sequence[SqlFile] = FILES) -> list[tuple[str, str]]:
    return [(finding.word, finding.name) for finding in folder.check(path, files)]


def push(url: str, path: Path, known: set[str] | None = None) -> set[str]:
    """Run the files that are not known, as `supabase db push` does; returns all names."""
    known = set() if known is None else known
    for file in sorted(path.glob("*.sql")):
        if file.name not in known:
            in_one_simple_query(url, file.read_text())
    return {file.name for file in path.glob("*.sql")}


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder that has the files of this release beside one of the host."""
    (tmp_path / "20250101000000_host.sql").write_text("select 1;\n")
    assert write(tmp_path) == NAMES
    return tmp_path


def refused(path: Path, files: Sequence[SqlFile] = FILES) -> errors.Refused:
    before = contents(path)
    with pytest.raises(errors.Refused) as caught:
        folder.write(path, NOON, files)
    assert contents(path) == before
    return caught.value


class TestWriting:
    def test_a_new_folder_gets_the_five_files(self, there: Path) -> None:
        assert {name: text for name, text in contents(there).items() if name in NAMES} == {
            name: text.encode() for name, text in TEXTS.items()
        }
        assert words(there) == []

    def test_the_same_release_writes_nothing_more(self, there: Path) -> None:
        before = contents(there)
        assert write(there) == []
        assert contents(there) == before

    def test_a_newer_release_adds_one_file_and_touches_none(self, there: Path) -> None:
        before = contents(there)
        assert words(there, LATER) == [("stale", CALLER)]
        (name,) = write(there, LATER)
        assert re.fullmatch(r"20261201120000_update_jobsdb_to_[0-9a-z_]+\.sql", name)
        after = contents(there)
        assert after.pop(name).startswith(bundle.MARK.encode())
        assert after == before
        assert words(there, LATER) == []
        assert write(there, LATER) == []

    def test_its_number_is_the_highest_even_when_a_clock_is_wrong(self, there: Path) -> None:
        (there / "20991231235959_of_the_host.sql").write_text("select 1;\n")
        assert write(there, LATER)[0].startswith("21000101000000_")
        (there / "99999999999999_of_the_host.sql").write_text("select 1;\n")
        assert write(there, LATEST)[0].startswith("100000000000000_")

    def test_line_ends_that_git_has_changed_make_no_difference(self, there: Path) -> None:
        for file in there.glob("*jobs*.sql"):
            file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
        assert words(there) == []
        assert len(write(there, LATER)) == 1

    def test_files_of_others_are_left_alone(self, there: Path) -> None:
        (there / "notes.txt").write_bytes(b"\xff\xfe")
        (there / "20250101000000_host.sql").write_text("changed")
        assert words(there) == []
        write(there, LATER)
        assert (there / "20250101000000_host.sql").read_text() == "changed"

    def test_a_number_that_is_taken_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "20251103000001_mine.sql").write_text("select 1;\n")
        assert "has the number of 20251103000001_add_job_links.sql" in refused(tmp_path).sentence


class TestRefusals:
    def test_an_edited_file_is_named(self, there: Path) -> None:
        with (there / NAMES[1]).open("a") as file:
            file.write("drop table public.jobs;\n")
        assert words(there) == [("edited", NAMES[1])]
        assert f"{NAMES[1]} is not as jobsdb wrote it" in refused(there, LATER).sentence

    def test_an_edited_head_is_noticed_as_well(self, there: Path) -> None:
        text = (there / NAMES[0]).read_text()
        (there / NAMES[0]).write_text(text.replace(bundle.SUM, bundle.SUM.lower(), 1))
        assert words(there) == [("edited", NAMES[0])]

    def test_a_missing_file_is_named(self, there: Path) -> None:
        (there / NAMES[2]).unlink()
        assert words(there) == [("missing", NAMES[2])]
        assert f"has no {NAMES[2]}" in refused(there).sentence

    def test_an_empty_folder_lacks_all_of_them(self, tmp_path: Path) -> None:
        assert words(tmp_path) == [("missing", name) for name in NAMES]
        assert words(tmp_path / "nowhere") == [("missing", name) for name in NAMES]

    def test_a_migration_edited_since_is_refused(self, there: Path) -> None:
        path = MIGRATIONS[1].path
        later = changed(FILES, path, "-- edited\n")
        assert words(there, later) == [("edited", path)]
        told = refused(there, later)
        assert "was edited after the files" in told.sentence
        assert "delete them and write them again" in (told.hint or "")

    def test_an_older_jobsdb_is_refused(self, there: Path) -> None:
        write(there, LATEST)
        assert words(there) == [("stale", NEXT)]
        assert "is newer than this jobsdb" in refused(there).sentence


class TestPushing:
    def test_an_update_gives_what_migrate_gives(
        self, there: Path, empty_url: str, url: str
    ) -> None:
        known = push(empty_url, there)
        for files in (LATER, LATEST):
            write(there, files)
            known = push(empty_url, there, known)
            migrate.migrate(url, files=files)
            assert differences(empty_url, url) == []
            assert ledger(empty_url) == ledger(url)
            again = migrate.migrate(empty_url, files=files)
            assert (again.applied, again.refreshed) == ((), 0)

    def test_a_database_made_anew_from_all_files_is_the_same(
        self, there: Path, empty_url: str, url: str
    ) -> None:
        write(there, LATER)
        write(there, LATEST)
        push(empty_url, there)
        migrate.migrate(url, files=LATEST)
        assert differences(empty_url, url) == []

    def test_where_migrate_was_first_there_is_nothing_to_do(self, there: Path, url: str) -> None:
        migrate.migrate(url, files=LATEST)
        write(there, LATEST)
        before = catalog(url), ledger(url)
        update = sorted(there.glob("*update*"))[0].read_text()
        said = notices(url, update)
        assert said == [f"jobsdb: the update to release {bundle.__version__} was installed before,"
                        " nothing to do"]  # fmt: skip
        assert (catalog(url), ledger(url)) == before
        migrated = "was installed before, nothing to do"
        assert migrated in notices(url, TEXTS[NAMES[0]])[0]

    def test_it_never_goes_back_to_an_older_release(
        self, there: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(there, LATER)
        update = sorted(there.glob("*update*"))[0].read_text()
        monkeypatch.setattr(script, "__version__", "10.2")
        migrate.migrate(url, files=changed(FILES, CALLER, "-- of 10.2\n"))
        before = catalog(url), ledger(url)
        assert "has release 10.2, newer than" in notices(url, update)[0]
        assert (catalog(url), ledger(url)) == before

    def test_an_update_alone_is_refused(self, there: Path, empty_url: str) -> None:
        write(there, LATER)
        told = refusal(empty_url, sorted(there.glob("*update*"))[0].read_text())
        assert told.sqlstate == "JB090"
        assert f'needs "{NAMES[0]}" first' in told.diag.message_primary
        assert is_untouched(empty_url)

    def test_an_update_that_fails_has_done_nothing(self, there: Path, url: str) -> None:
        broken = extra(LATER, NEXT, "-- bundle 3\ncreate table jobsdb.next (); select 1/0;\n",
                       "migration")  # fmt: skip
        write(there, broken)
        before = catalog(url), ledger(url)
        assert refusal(url, sorted(there.glob("*update*"))[0].read_text()).sqlstate == "22012"
        assert (catalog(url), ledger(url)) == before

    def test_an_installed_file_tells_when_its_parts_are_of_another_release(self, url: str) -> None:
        migrate.migrate(url, files=LATER)
        (said,) = notices(url, TEXTS[NAMES[0]])
        assert said.endswith("nothing to do; 1 of its parts are there in another version")


class TestCommand:
    def test_it_writes_what_is_missing_and_says_so(self, tmp_path: Path) -> None:
        done = run("bundle", "--supabase", str(tmp_path / "supabase" / "migrations"))
        assert done.returncode == 0, done.stderr
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["written"] * 5
        again = run("bundle", str(tmp_path / "supabase" / "migrations"), "--supabase")
        assert [line.split()[0] for line in again.stdout.splitlines()] == ["unchanged"] * 5

    def test_check_answers_by_its_exit_code_and_writes_nothing(self, tmp_path: Path) -> None:
        path = str(tmp_path)
        missing = run("bundle", "--check", path)
        assert (missing.returncode, list(tmp_path.iterdir())) == (1, [])
        assert [line.split()[0] for line in missing.stdout.splitlines()] == ["missing"] * 5
        assert "jobsdb bundle --supabase" in missing.stderr
        assert run("bundle", "--supabase", path).returncode == 0
        assert run("bundle", "--check", path).returncode == 0
        (tmp_path / NAMES[3]).write_text(TEXTS[NAMES[3]] + "\n")
        edited = run("bundle", "--check", path)
        assert (edited.returncode, edited.stdout.split()[:2]) == (1, ["edited", f"{NAMES[3]}:"])
        assert run("bundle", "--supabase", path).returncode == errors.Exit.REFUSED
