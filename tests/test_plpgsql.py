"""Every plpgsql body as plpgsql_check sees it: each statement planned, each branch, each variable.

PostgreSQL itself looks into a body only when it runs. Needs the extension: on Debian the package
postgresql-15-plpgsql-check.
"""

import re

import psycopg
import pytest

# What is told and meant: level, code, function, detail or message, and why it is all right.
MEANT = [
    (
        "warning",
        "42804",
        ".*",
        r'cast "text" value to "(uuid|uuid\[\]|text\[\]|jsonb)" type',
        "a literal, or an id that is kept as text because a host's ids may be of any type, is read"
        " by the type of the variable it is assigned to",
    ),
    (
        "security",
        "00000",
        r"jobsdb\.adopt_in_place\(integer\)",
        "text type variable is not sanitized",
        "the statements come from adoption_steps(), which quotes the names of the catalog",
    ),
    (
        "security",
        "00000",
        r"review_cards\(.*\)",
        "text type variable is not sanitized",
        "the text is format_type() of a column of the catalog",
    ),
]

# A trigger function is checked for each of its tables, with both transition tables: it may serve
# several events, and looks only at those that its event has. Performance is measured elsewhere.
CHECK = """
select f.level, f.sqlstate, p.oid::regprocedure::text, coalesce(f.detail, f.message),
  f.message, f.lineno
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
inner join pg_language as l on l.oid = p.prolang
left join (select distinct tgfoid, tgrelid from pg_trigger where not tgisinternal) as t
  on t.tgfoid = p.oid
cross join lateral tools.plpgsql_check_function_tb(
  p.oid, coalesce(t.tgrelid, 0), fatal_errors => false, extra_warnings => true,
  performance_warnings => false, security_warnings => true,
  oldtable => case when p.prosrc ~ 'old_rows' then 'old_rows'::name end,
  newtable => case when p.prosrc ~ 'new_rows' then 'new_rows'::name end
) as f
where n.nspname in ('public', 'jobsdb', 'auth') and l.lanname = 'plpgsql'
order by 3, 6
"""


@pytest.fixture
def checked(db: psycopg.Connection) -> psycopg.Connection:
    """A database with the extension."""
    name = "plpgsql_check"
    if not db.execute("select 1 from pg_available_extensions where name = %s", [name]).fetchone():
        pytest.skip("plpgsql_check is not installed here")
    db.execute(f"create schema tools; create extension {name} schema tools")
    # Its call with a constant would be made while the branch in which it stands is only planned.
    db.execute("alter function jobsdb.refuse_trigger(regclass) volatile")
    return db


def is_meant(meant: tuple[str, ...], told: tuple) -> bool:
    level, state, function, detail, message, _ = told
    return (
        (level, state) == meant[:2]
        and re.fullmatch(meant[2], function) is not None
        and any(re.fullmatch(meant[3], text) for text in (detail, message))
    )


def strange(conn: psycopg.Connection) -> list[str]:
    """What is told and not meant."""
    return [
        " ".join(map(str, told))
        for told in conn.execute(CHECK)
        if not any(is_meant(meant, told) for meant in MEANT)
    ]


def test_no_function_and_no_trigger_has_an_error_or_a_warning(checked: psycopg.Connection) -> None:
    assert strange(checked) == []


def test_everything_that_is_meant_is_still_told(checked: psycopg.Connection) -> None:
    told = list(checked.execute(CHECK))
    assert [meant for meant in MEANT if not any(is_meant(meant, each) for each in told)] == []


def test_a_body_that_names_a_column_that_is_gone_is_told(checked: psycopg.Connection) -> None:
    checked.execute(
        "create function jobsdb.wrong() returns int language plpgsql as"
        " 'begin return (select j.colour from public.jobs as j); end'"
    )
    (told,) = strange(checked)
    assert "jobsdb.wrong()" in told
    assert "column j.colour does not exist" in told
