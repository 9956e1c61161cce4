"""What the documentation shows was run: every snippet, in its order, in a database of its own."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import BINDIR, new_database
from jobsdb import local
from jobsdb.local import Server
from snippets import ROOT, CannotFetch, Entry, Reader, before, blocks, entries, matches

WRITTEN = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("[eht]*/*.md")),
    ROOT / "docs/tutorial.md",
]
DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in WRITTEN]
TOO_LONG = 120


@pytest.fixture(scope="module")
def place(scratch: Path) -> Server:
    """A server as somebody starts it for the first time."""
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    return local.start("docs", None, BINDIR, scratch)


@pytest.fixture
def reader(place: Server, tmp_path: Path) -> Iterator[Reader]:
    """Somebody with an empty database and an empty folder."""
    with new_database(place) as url:
        reader = Reader(url, tmp_path)
        try:
            yield reader
        finally:
            reader.close()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_snippet_of(name: str, reader: Reader) -> None:
    text = (ROOT / name).read_text()
    for command in before(text):
        said = reader.shell(command)
        assert reader.status == 0, said
    for block in blocks(text):
        try:
            told = reader.follow(block)
        except CannotFetch as missing:
            if os.environ.get("JOBSDB_TEST_FETCH") == "must":
                raise
            pytest.skip(f"{name}:{block.line} fetches what cannot be had here: {missing}")
        shown = entries(block.text) if told else []
        for one, other in zip(shown, told, strict=True):
            where = f"{name}:{block.line} shows of {one.lines}\n"
            what = "\n".join([*one.output, "--- but it is", *other.output])
            assert matches(one, other, reader.names), where + what


EXCUSED = {
    "README.md": ["it is what runs this document"],
    "docs/tutorial.md": ["names a server that is not there"],
    "docs/how-to/pg_cron.md": [
        "pg_cron is not in every PostgreSQL; its schedule is tried with a stand-in in"
        " tests/test_doctor.py"
    ],
    "docs/how-to/supabase.md": [
        "tests/test_supabase_cli.py runs the real command against a database as Supabase hands it"
        " out"
    ],
    "docs/how-to/upgrade.md": ["there is no older release yet"],
    "docs/how-to/workers.md": ["there is no Go toolchain here"],
}
"""The blocks of each document that are not run here, by their reasons."""


def test_what_cannot_be_run_says_why_and_is_known() -> None:
    found: dict[str, list[str]] = {}
    for name in DOCUMENTS:
        for block in blocks((ROOT / name).read_text()):
            if block.reason is not None:
                found.setdefault(name, []).append(block.reason)
    assert found == EXCUSED


def test_a_transcript_that_shows_something_else_fails(reader: Reader) -> None:
    entry = Entry(
        "=>", ["=> select 'b', gen_random_uuid() as id;"], ["…", " b | 11111111-…", "(1 row)"]
    )
    assert matches(entry, reader.type(entry), reader.names)
    assert reader.names["11111111-…"].count("-") == 4
    for wrong in ([*entry.output, "more"], ["…", " c | 22222222-…", "(1 row)"], []):
        other = Entry("=>", entry.lines, wrong)
        assert not matches(other, reader.type(other), reader.names)


def test_a_statement_that_fails_fails(reader: Reader) -> None:
    (block,) = blocks("```sql\nselect 1;\nselect nothing;\n```\n")
    with pytest.raises(AssertionError, match="does not exist"):
        reader.follow(block)
    (block,) = blocks("```sh\nfalse\n```\n")
    with pytest.raises(AssertionError):
        reader.follow(block)
    (block,) = blocks("```python\nraise SystemExit(1)\n```\n")
    with pytest.raises(AssertionError):
        reader.follow(block)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere_and_no_line_is_endless(name: str) -> None:
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or ((ROOT / name).parent / target).exists(), target
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    long = [line for line in prose.splitlines() if len(line) > TOO_LONG and "|" not in line]
    assert long == []
