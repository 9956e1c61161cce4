"""Every two options of `jobsdb migrate` have their effect together, or are refused."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from types import SimpleNamespace

import pytest

from commands import catalog
from jobsdb import run as running
from jobsdb.cli import cli
from jobsdb.deploy import migrate
from jobsdb.errors import Exit
from old_world import Old, rows
from test_migrate import execute, value

ROLE = "migrate_options"
VALUES = {
    "--wait": "11min",
    "--lock-timeout": "321ms",
    "--statement-timeout": "7min",
    "--role": ROLE,
}
COMMON = {"--database", "--debug"}
OPTIONS = [o for p in cli.commands["migrate"].params if (o := p.opts[-1]) not in COMMON]

PREREQUISITES = "--prerequisites only makes roles and auth.uid()"
PLAN, PRINT = "--plan only looks", "--sql only prints"
TRY = "--adopt finds out by trying what fits"
REFUSED = {
    ("--prerequisites", "--again"): PREREQUISITES,
    ("--prerequisites", "--adopt"): PREREQUISITES,
    ("--prerequisites", "--plan"): PREREQUISITES,
    ("--prerequisites", "--sql"): PREREQUISITES,
    ("--prerequisites", "--rehearse"): PREREQUISITES,
    ("--prerequisites", "--no-checks"): PREREQUISITES,
    ("--plan", "--sql"): PLAN,
    ("--plan", "--rehearse"): PLAN,
    ("--wait", "--plan"): PLAN,
    ("--lock-timeout", "--plan"): PLAN,
    ("--statement-timeout", "--plan"): PLAN,
    ("--plan", "--no-checks"): PLAN,
    ("--sql", "--rehearse"): PRINT,
    ("--wait", "--sql"): PRINT,
    ("--sql", "--no-checks"): PRINT,
    ("--sql", "--json"): "--sql prints SQL",
    ("--adopt", "--plan"): TRY,
    ("--adopt", "--sql"): TRY,
}
TOGETHER = [pair for pair in combinations(OPTIONS, 2) if pair not in REFUSED]


def words(pair: tuple[str, ...]) -> list[str]:
    """The options as they are typed; an option may be given the value it has anyway."""
    return [word for option in pair for word in (option, VALUES.get(option)) if word]


def test_every_pair_is_of_options_that_there_are() -> None:
    assert set(REFUSED) <= set(combinations(OPTIONS, 2))
    assert len(OPTIONS) == 12


@pytest.mark.parametrize("pair", REFUSED, ids=" ".join)
def test_what_would_be_ignored_is_refused(
    pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = running.run(cli, ["migrate", "-d", "host=/nonexistent", *words(pair)])
    told = capsys.readouterr()
    assert (code, told.out) == (Exit.USAGE, "")
    (ignored,) = [option for option in pair if not REFUSED[pair].startswith(option)]
    assert f"error: {REFUSED[pair]}, so {ignored} means nothing\n" in told.err


def test_a_value_that_is_the_default_is_refused_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert running.run(cli, ["migrate", "--plan", "--wait", "60s"]) == Exit.USAGE
    assert "so --wait means nothing" in capsys.readouterr().err


@pytest.fixture
def world(request: pytest.FixtureRequest, pair: tuple[str, str]) -> str:
    """The URL of a database on which both options can show their effect."""
    if "--again" in pair:
        url: str = request.getfixturevalue("url")
    else:
        url = request.getfixturevalue("empty_url")
        if "--adopt" in pair:
            execute(url, Old().sql + rows(Old()))
    if "--role" in pair:
        execute(url, f"do 'begin create role {ROLE} superuser; exception when others then end'")
    return url


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[migrate.Run]:
    """What deployments consisted of."""
    seen = []
    opened = migrate.opened

    @contextmanager
    def watched(*arguments: object) -> Iterator[migrate.Run]:
        with opened(*arguments) as run:
            seen.append(run)
            yield run

    monkeypatch.setattr(migrate, "opened", watched)
    return seen


def is_unchanged(seen: SimpleNamespace) -> bool:
    return catalog(seen.url) == seen.before


def has(seen: SimpleNamespace, name: str) -> bool:
    return value(seen.url, f"select to_regnamespace('{name}') is not null")


EFFECTS = {
    "--wait": lambda seen: 600 < seen.run.deadline - seen.began < 700,
    "--lock-timeout": lambda seen: " lock_timeout = 321;" in seen.run.opening,
    "--statement-timeout": lambda seen: " statement_timeout = 420000;" in seen.run.opening,
    "--prerequisites": lambda seen: has(seen, "auth") and not has(seen, "jobsdb"),
    "--again": lambda seen: (
        seen.document.get("refreshed") or seen.document.get("steps")
        if seen.document
        else not seen.out.startswith(("Nothing to do", "-- jobsdb migrate has nothing to do"))
    ),
    "--adopt": lambda seen: (
        has(seen, "jobsdb_before")
        or "Taken over: " in seen.out
        or "nothing to adopt: jobsdb is here already" in seen.err
        or seen.document["taken_over"]["jobs"]
    ),
    "--plan": lambda seen: (
        seen.code == Exit.NO
        and is_unchanged(seen)
        and (seen.document.get("mode") == "plan" or seen.out.startswith("What would be done"))
    ),
    "--sql": lambda seen: is_unchanged(seen) and seen.out.startswith("-- What `jobsdb migrate`"),
    "--rehearse": lambda seen: (
        is_unchanged(seen)
        and (seen.document.get("mode") == "rehearsal" or "It was rolled back." in seen.out)
    ),
    "--role": lambda seen: (
        f", as role {ROLE}\n" in seen.err and f'set local role "{ROLE}";' in seen.run.opening
    ),
    "--no-checks": lambda seen: "present state" in seen.err and "checks of the" not in seen.err,
    "--json": lambda seen: seen.document["version"] == 1,
}


@pytest.mark.parametrize("pair", TOGETHER, ids=" ".join)
def test_both_have_their_effect(
    pair: tuple[str, str],
    world: str,
    runs: list[migrate.Run],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, began = catalog(world), time.monotonic()
    code = running.run(cli, ["migrate", "-d", world, *words(pair)])
    told = capsys.readouterr()
    assert code == (Exit.NO if "--plan" in pair else Exit.DONE), told.err
    document = json.loads(told.out) if "--json" in pair else {}
    seen = SimpleNamespace(
        url=world, code=code, out=told.out, err=told.err, document=document, before=before,
        began=began, run=runs[-1],
    )  # fmt: skip
    assert [option for option in pair if not EFFECTS[option](seen)] == []
