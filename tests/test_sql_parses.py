"""Every file of sql/ is UTF-8 with LF, and SQL to PostgreSQL's own grammar."""

import pglast
import pytest

from helpers import SQL

FILES = sorted(path.relative_to(SQL).as_posix() for path in SQL.rglob("*.sql"))


def test_there_are_files() -> None:
    assert FILES


@pytest.mark.parametrize("name", FILES)
def test_file_parses(name: str) -> None:
    text = (SQL / name).read_bytes().decode("utf-8")
    assert "\r" not in text
    assert not text.startswith("\ufeff")
    assert text.endswith("\n")
    assert pglast.parse_sql(text)
