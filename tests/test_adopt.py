"""`jobsdb migrate --adopt`: a jobs system made by hand gives way, and nothing of it is lost."""

import psycopg
import pytest

import world
from commands import catalog, run
from helpers import as_role, as_tenant
from jobsdb import adopt, connect, errors, verify
from jobsdb.migrate import migrate
from old_world import NAMES, VARIANTS, A, B, Old, rows


def execute(url: str, query: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(query)


def ask(url: str, query: str, *values: object) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(query, values).fetchall()


def refusal(url: str, **options) -> errors.JobsdbError:
    with pytest.raises(errors.JobsdbError) as caught:
        migrate(url, **options)
    return caught.value


def findings(url: str) -> list[str]:
    """What `jobsdb verify` finds, warnings and notes included, but for the host's own business."""
    with connect.connect(url) as conn:
        results = verify.examine(conn)
    return [
        f"{result.check.number} {result.word}: {finding}"
        for result in results
        for finding in result.findings
    ]


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def old(request: pytest.FixtureRequest) -> Old:
    return request.param


class TestRecognising:
    def test_without_the_option_the_command_is_named(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql)
        before = catalog(empty_url)
        refused = refusal(empty_url)
        assert refused.code == errors.Exit.REFUSED
        assert "jobsdb migrate --adopt" in refused.hint
        assert "marks" in refused.detail
        assert catalog(empty_url) == before


class TestRows:
    def test_everything_that_fits_is_taken_over(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql + rows(old))
        result = migrate(empty_url, adopt_old=True)
        print(result.taken)
        assert (result.taken.jobs, result.taken.tasks) == (6, 30)
        assert findings(empty_url) == []
