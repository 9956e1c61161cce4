"""`jobsdb demo`: the play runs to its end by the public interface alone, and again, and piped."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

import commands
import stepping
from helpers import BINDIR, as_tenant
from jobsdb import demo, errors, samples, seed, verify
from jobsdb.migrate import migrate

USER = samples.ORGANISATIONS["A"]
HOST = """
create table public.kanban_cards (
  id bigint generated always as identity primary key, org_id uuid not null, title text,
  type text not null, state text not null default 'todo', content jsonb, mood text default 'fine'
);
alter table public.kanban_cards enable row level security;
create policy own_cards on public.kanban_cards to authenticated using (org_id = auth.uid());
create policy all_cards on public.kanban_cards to service_role using (true);
grant all on public.kanban_cards to authenticated, service_role;
insert into public.kanban_cards (org_id, title, type) select gen_random_uuid(), 'note', 'note';
"""
WIDTH = 80


def plays(conn: psycopg.Connection) -> list[samples.Sample]:
    return [sample for sample in samples.find(conn) if sample.seed == samples.DEMO]


@pytest.fixture
def job(db: psycopg.Connection) -> str:
    """Return the id of the job that was played in the database of ``db``."""
    return demo.play(db)["job"]


def test_the_campaign_succeeds_in_two_batches(db: psycopg.Connection, job: str) -> None:
    (played,) = plays(db)
    assert (played.id, played.status, played.org) == (job, "succeeded", USER)
    assert (played.tasks, played.tasks_done, played.done) == (9, 9, 7)
    measured = db.execute(
        "select m.max_batch, m.retry_total, m.emails_drafted, m.emails_sent, m.cards_rejected"
        " from public.job_metrics as m where m.job_id = %s",
        (job,),
    )
    assert measured.fetchone() == (1, 1, 6, 5, 1)
    assert db.execute(stepping.WRONG).fetchall() == []
    assert db.execute(stepping.WRONG_AT_REST).fetchall() == []


def test_nothing_was_done_that_a_person_had_not_approved(db: psycopg.Connection, job: str) -> None:
    executed = db.execute(
        "select c.title, r.reviewer::text, r.reviewer_role,"
        " r.content_hash = jobsdb.card_hash(to_jsonb(c)), e.actor, e.actor_role"
        " from public.kanban_cards as c"
        " left join jobsdb.card_reviews as r on r.card_id = c.id::text and r.decision = 'approved'"
        " inner join jobsdb.events as e on e.entity_id = c.id::text and e.new_status = 'done'"
        " where c.job_id = %s and c.state = 'done'",
        (job,),
    ).fetchall()
    assert len(executed) == 7
    for _, *proof in executed:
        assert proof == [USER, "authenticated", True, None, "service_role"]


def test_it_uses_the_public_interface_alone() -> None:
    steps = demo.steps()
    assert len(steps) > 10
    assert {step.actor for step in steps} == {"tenant", "service", "owner"}
    assert [step.refused for step in steps if step.refused] == ["JB003"]
    for step in steps:
        assert "jobsdb." not in step.file.text
        assert "current_setting('demo." not in step.file.text or step.file.path > "seeds/demo/02"
        assert len(step.sentence) <= WIDTH - demo._INDENT
        assert step.sentence.endswith(".")


def test_a_move_that_must_be_refused_is_not_quietly_done(db: psycopg.Connection) -> None:
    db.execute("alter table public.kanban_cards disable trigger jobsdb_t30_guard")
    with pytest.raises(errors.JobsdbError, match="must be refused was not") as wrong:
        demo.play(db)
    assert wrong.value.at == "sql/seeds/demo/09_approve_own.sql"


def test_a_step_that_fails_is_named(db: psycopg.Connection) -> None:
    db.execute("revoke insert on public.kanban_cards from service_role")
    db.execute("revoke insert (title) on public.kanban_cards from service_role")
    with pytest.raises(errors.JobsdbError, match="permission denied") as wrong:
        demo.play(db)
    assert wrong.value.at == "sql/seeds/demo/07_draft.sql"
    assert wrong.value.code == errors.Exit.CONNECT


def test_from_an_empty_database_to_a_clean_verify_and_again(empty_url: str) -> None:
    for runs in (1, 2):
        said = commands.run("demo", "-d", empty_url, DATABASE_URL="postgresql://nowhere.invalid/x")
        assert said.returncode == 0, said.stderr
        with psycopg.connect(empty_url) as conn:
            assert [play.status for play in plays(conn)] == ["succeeded"] * runs
            assert len(samples.find(conn)) == 5 + runs
        lines = said.stdout.splitlines()
        assert max(map(len, lines)) <= WIDTH
        assert all(line.isprintable() for line in lines)
        assert all(line.isprintable() for line in said.stderr.splitlines())
        numbers = [int(found[1]) for line in lines if (found := re.match(r" {0,2}(\d+)  \w", line))]
        assert numbers == list(range(1, len(demo.steps()) + 1))
        assert "refused  card" in said.stdout
        assert "(JB003)" in said.stdout
        assert re.search(r"e-mails sent +5$", said.stdout, re.MULTILINE)
        assert re.search(r"^(\d+) checks, \1 ok", said.stdout, re.MULTILINE)


def test_what_verify_finds_decides_the_exit_code(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def find_something(*arguments: object) -> int:
        asked.append(arguments)
        return 1

    monkeypatch.setattr(verify, "run", find_something)
    assert demo.run(url) == 1
    assert asked == [(url, (), False, False, "brief")]


def test_where_others_work_it_plays_but_loads_no_samples(
    url: str, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "run", lambda *_: 0)
    with as_tenant(db, uuid4()):
        db.execute("insert into jobs (name) values ('mine')")
    assert demo.run(url) == 0
    assert [sample.seed for sample in samples.find(db)] == [samples.DEMO]
    assert samples.others(db) == 1


def test_it_plays_on_tables_of_the_host(empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as conn:
        migrate(empty_url, only_prerequisites=True)
        conn.execute(HOST)
        migrate(empty_url)
        (before,) = conn.execute("select count(*) from public.kanban_cards").fetchone()
        demo.play(conn)
        assert [play.status for play in plays(conn)] == ["succeeded"]
        assert seed.run(empty_url, remove=True) == 0
        assert conn.execute("select count(*) from public.kanban_cards").fetchone() == (before,)


def test_what_was_played_can_be_removed(url: str, db: psycopg.Connection, job: str) -> None:
    demo.play(db)
    seed.run(url)
    assert seed.run(url, [samples.DEMO], remove=True) == 0
    assert plays(db) == []
    assert len(samples.find(db)) == 5
    assert seed.run(url, remove=True) == 0
    for table in ("public.kanban_cards", "public.jobs", "jobsdb.events", "jobsdb.card_reviews"):
        assert db.execute(f"select count(*) from {table}").fetchone() == (0,)


def test_on_a_terminal_it_has_colours_and_bars(url: str) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobsdb", "demo", "-d", url],
        env=commands.environment(TERM="xterm", COLUMNS="80"),
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    said = b""
    while True:
        try:
            more = os.read(leader, 65536)
        except OSError:  # what Linux says at the end
            break
        if not more:
            break
        said += more
    os.close(leader)
    assert process.wait(timeout=60) == 0
    assert b"\x1b[" in said
    assert "━".encode() in said
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r\n", "\n")
    play = plain[plain.index("A campaign,") : plain.index("jobsdb verify:")]
    assert max(map(len, play.splitlines())) <= WIDTH
    assert play.count("━" * 12) > len(demo.steps()) / 2


@pytest.mark.skipif(BINDIR is not None, reason="runs on the embedded server")
def test_without_a_database_it_brings_its_own(data_root: Path) -> None:
    said = commands.run(
        "demo", JOBSDB_HOME=str(data_root), DATABASE_URL="postgresql://nowhere.invalid/x"
    )
    assert said.returncode == 0, said.stderr
    assert ", embedded)" in said.stderr.splitlines()[0]
