"""The helpers themselves: a test that says who and what was refused must be able to fail."""

import json
from collections.abc import Callable

import psycopg
import pytest

from helpers import as_anon, as_service, as_tenant, refused

ME = "00000000-0000-4000-8000-000000000001"
WHO = "select current_user, current_setting('request.jwt.claims', true)"
REFUSE = "do $$ begin raise exception using errcode = 'JB001', message = 'no', {}; end $$"


def test_a_tenant_is_somebody_until_the_end_of_the_transaction(db: psycopg.Connection) -> None:
    with as_tenant(db, ME, email="me@example.com"):
        user, claims = db.execute(WHO).fetchone()
        assert db.execute("select auth.uid()::text").fetchone()[0] == ME
    assert user == "authenticated"
    assert json.loads(claims) == {"sub": ME, "role": "authenticated", "email": "me@example.com"}
    assert db.execute(WHO).fetchone() == ("postgres", "")


def test_service_and_anon_have_no_sub(db: psycopg.Connection) -> None:
    for persona, role in ((as_service, "service_role"), (as_anon, "anon")):
        with persona(db):
            user, claims = db.execute(WHO).fetchone()
        assert user == role
        assert "sub" not in json.loads(claims)


def test_personas_can_follow_each_other_in_one_transaction(db: psycopg.Connection) -> None:
    with db.transaction():
        with as_tenant(db, ME):
            with as_service(db):
                assert db.execute(WHO).fetchone()[0] == "service_role"
            assert db.execute("select auth.uid()::text").fetchone()[0] == ME
        assert db.execute(WHO).fetchone() == ("postgres", "")


def test_refused_fails_when_nothing_or_something_else_is_refused(db: psycopg.Connection) -> None:
    with pytest.raises(pytest.fail.Exception), refused(db, "22012"):
        db.execute("select 1")
    with pytest.raises(AssertionError, match="expected 42501, got 22012"), refused(db, "42501"):
        db.execute("select 1/0")
    with pytest.raises(AssertionError, match="expected 'by one'"), refused(db, "22012", "by one"):
        db.execute("select 1/0")


def test_our_own_refusals_must_have_detail_and_hint(db: psycopg.Connection) -> None:
    for missing in ("detail = 'so'", "hint = 'do'"):
        with pytest.raises(AssertionError, match="refused without"), refused(db, "JB001"):
            db.execute(REFUSE.format(missing))
    with refused(db, "JB001", "no") as info:
        db.execute(REFUSE.format("detail = 'so', hint = 'do'"))
    assert info.value.diag.message_hint == "do"


def test_a_refusal_leaves_the_transaction_usable(db: psycopg.Connection) -> None:
    with db.transaction():
        db.execute("create table fruit ()")
        with refused(db, "42P07", "already exists"):
            db.execute("create table fruit ()")
        db.execute("select from fruit")


def test_every_test_has_a_database_of_its_own(
    db: psycopg.Connection, connect: Callable[..., psycopg.Connection], empty_url: str
) -> None:
    assert connect().info.dbname == db.info.dbname
    assert db.execute("select to_regclass('public.jobs')").fetchone()[0] == "jobs"
    with psycopg.connect(empty_url) as conn:
        assert conn.info.dbname != db.info.dbname
        assert conn.execute("select to_regclass('public.jobs')").fetchone()[0] is None
