"""`jobsdb demo`: a campaign of ten days, a provider that crashes, and a proof that can fail."""

import os
import pty
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

import commands
import stepping
from helpers import BINDIR, as_tenant, new_database
from jobsdb import errors
from jobsdb.campaigns import demo, provider, samples, seed, stage
from jobsdb.check import verify
from jobsdb.deploy.migrate import migrate
from jobsdb.local import Server

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
PARTS = ("1_before", "2_every_day", "3_after")
TABLES = (
    *("public.jobs", "public.job_tasks", "public.kanban_cards", "jobsdb.contacts"),
    *("jobsdb.suppressions", "jobsdb.job_contacts", "jobsdb.due_contacts", "jobsdb.planned_jobs"),
    *("jobsdb.sends", "jobsdb.send_events", "jobsdb.events", "jobsdb.card_reviews"),
)
CLAIMS = 7
Change = Callable[[demo.Play], object]


def plays(conn: psycopg.Connection) -> list[samples.Sample]:
    return [sample for sample in samples.find(conn) if sample.seed == samples.DEMO]


@pytest.fixture(scope="module")
def first(server: Server, template: str) -> Iterator[demo.Play]:
    """A campaign that was played in a database of its own."""
    with (
        new_database(server, template) as address,
        psycopg.connect(address, autocommit=True) as conn,
    ):
        yield demo.play(conn)


@pytest.fixture
def played(first: demo.Play) -> Iterator[demo.Play]:
    """The same, for tests that change what is there: it comes back afterwards."""
    journal = deepcopy(first.provider.journal)
    with first.stage.conn.transaction(force_rollback=True):
        yield first
    first.provider.journal[:] = journal


def rows(played: demo.Play, query: str) -> list[tuple]:
    return played.stage.conn.execute(query, {"job": played.stage.kept["job"]}).fetchall()


# -------------------------------------------------------------------------------------- the story


def test_the_campaign_ends_by_itself_after_three_touches(played: demo.Play) -> None:
    (found,) = plays(played.stage.conn)
    assert (found.id, found.status, found.org) == (
        played.stage.kept["job"],
        "succeeded",
        played.stage.org,
    )
    assert (found.tasks, found.tasks_done, found.done) == (25, 25, 84)
    measured = (
        "select m.emails_drafted, m.emails_sent, m.cards_rejected, m.approval_rate"
        " from public.job_metrics as m where m.job_id = %(job)s"
    )
    (metrics,) = rows(played, measured)
    assert metrics[:3] == (92, 84, 8)
    touches = "select touch, count(*) from jobsdb.sends where state = 'sent' group by 1 order by 1"
    assert played.stage.conn.execute(touches).fetchall() == [("0", 33), ("1", 28), ("2", 23)]
    assert played.stage.conn.execute(stepping.WRONG).fetchall() == []
    assert played.stage.conn.execute(stepping.WRONG_AT_REST).fetchall() == []


def test_who_is_out_is_out_for_its_reason(played: demo.Play) -> None:
    found = "select state, reason, count(*) from jobsdb.job_contacts where job_id = %(job)s"
    told = rows(played, f"{found} group by 1, 2")
    assert {(state, reason): number for state, reason, number in told} == {
        ("finished", None): 23,
        ("stopped", "suppressed"): 4,
        ("stopped", "reply"): 4,
        ("stopped", "bounce_hard"): 1,
        ("stopped", "unsubscribe"): 1,
        ("stopped", "rejected"): 1,
        ("excluded", "no_address"): 2,
        ("excluded", "suppressed"): 2,
        ("excluded", "bad_address"): 1,
        ("excluded", "duplicate_address"): 1,
    }


def test_a_sender_has_died_at_every_point_and_nothing_came_twice_of_it(
    db: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    played = demo.play(db)
    assert played.provider._crashes == {}, "nobody has come by these points"
    said = " ".join(capsys.readouterr().out.split())
    for point in (provider.GATE, provider.PROVIDER, provider.ANSWER):
        assert f"a sender dies {point}: " in said
    found = (
        "select split_part(recipient, '@', 1), touch, attempt, reason is null, provider"
        " from jobsdb.sends where job_id = %(job)s and (attempt > 1 or reason is not null)"
        " and state = 'sent'"
    )
    assert sorted(rows(played, found)) == [
        ("dora.aydin", "1", 2, True, "relay"),  # nobody had it: a person had it sent again
        ("emil.lund", "0", 2, True, "courier"),  # rescued; the courier had never seen it
        ("fay.hill", "1", 1, False, None),  # a person found that the relay has it
        ("hana.aydin", "0", 2, True, "courier"),  # rescued; the courier recognised it
    ]
    assert "3 crashed, 38 taken back, 1 recognised" in said
    assert "2 crashed, 26 taken back, 1 to be sent again, 1 found delivered" in said
    decided = "select reason from jobsdb.sends where job_id = %(job)s and reason like '%% by %%'"
    assert rows(played, decided) == [(f"delivered by {played.stage.org}",)]


def test_who_answers_while_a_sender_has_the_e_mail_is_held_back_at_the_gate(
    played: demo.Play,
) -> None:
    held = (
        "select split_part(s.contact_key, '/', 2), s.touch, s.state, c.state from jobsdb.sends as s"
        " inner join public.kanban_cards as c on c.id::text = s.card_id"
        " where s.job_id = %(job)s and s.state <> 'sent'"
    )
    assert sorted(rows(played, held)) == [
        ("ada.hill", "1", "cancelled", "rejected"),  # has replied
        ("ada.lund", "2", "suppressed", "rejected"),  # the domain wants no more
        ("bea.lund", "1", "suppressed", "rejected"),  # has unsubscribed
        ("dora.lund", "2", "suppressed", "rejected"),
        ("emil.lund", "2", "suppressed", "rejected"),
        ("gil.lund", "2", "suppressed", "rejected"),
    ]


def test_what_the_provider_tells_twice_is_noted_once(played: demo.Play) -> None:
    noted = (
        "select e.event from jobsdb.send_events as e"
        " inner join jobsdb.sends as s on s.id = e.send_id where s.job_id = %(job)s"
    )
    journal = Counter(entry["what"] for entry in played.provider.journal)
    reported = journal - Counter(accepted=journal["accepted"], closed=1)
    assert Counter(event for (event,) in rows(played, noted)) == reported
    assert set(reported) == {
        *("delivered", "bounce_hard", "bounce_soft", "open_human", "open_machine", "click"),
        *("reply", "auto_reply", "unsubscribe"),
    }


def test_every_card_that_was_sent_was_approved_by_the_person_and_sent_by_an_agent(
    played: demo.Play,
) -> None:
    proof = (
        "select r.reviewer, r.reviewer_role, r.content_hash = jobsdb.card_hash(to_jsonb(c)),"
        " e.actor, e.actor_role"
        " from public.kanban_cards as c"
        " left join jobsdb.card_reviews as r on r.card_id = c.id::text and r.decision = 'approved'"
        " inner join jobsdb.events as e on e.entity_id = c.id::text and e.new_status = 'done'"
        " where c.job_id = %(job)s and c.state = 'done'"
    )
    ana = UUID(played.stage.org)
    by_agent = (ana, "authenticated", True, None, "service_role")
    # The one of which a person has found out that the provider has it.
    by_person = (*by_agent[:3], ana, "authenticated")
    assert Counter(rows(played, proof)) == {by_agent: 83, by_person: 1}


def test_it_is_the_same_campaign_every_time_and_touches_no_other(
    db: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    seed.load(db, samples.campaigns())
    before = samples.find(db)
    told = []
    for _ in range(2):
        capsys.readouterr()
        assert demo.play(db).prove()
        card = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
        told.append(card.sub("…", capsys.readouterr().out))
    assert told[0] == told[1]
    assert [sample for sample in samples.find(db) if sample.seed != samples.DEMO] == before
    assert [play.status for play in plays(db)] == ["succeeded"] * 2
    assert len({play.org for play in plays(db)}) == 2


# --------------------------------------------------------------------------------------- the proof


def test_the_proof_says_what_was_counted(
    played: demo.Play, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert played.prove()
    said = capsys.readouterr().out
    assert re.findall("^  ✓ (.*)$", said, re.MULTILINE) == [
        "nobody was mailed twice: 84 e-mails, 84 different",
        "nobody was mailed what no person approved: 84 of 84 approved word for word",
        "nobody suppressed was mailed: 9 suppressed, e-mails since then: 0",
        "nobody was mailed after an answer or rejection: 7 stopped, e-mails: 0",
        "the ledger says what the provider has: 84 sent, 84 accepted",
        "the counters are exact: 10 of 10 equal a recount of the rows",
        "the campaign is over: succeeded",
    ]
    assert "✗" not in said


def mail(played: demo.Play, who: str) -> dict[str, object]:
    """The first e-mail to somebody."""
    return next(
        entry
        for entry in played.provider.journal
        if entry["what"] == "accepted" and str(entry["recipient"]).startswith(who)
    )


def again(played: demo.Play) -> None:
    played.provider.journal.append(dict(mail(played, "ada.moss")))


def under_another_key(played: demo.Play) -> None:
    again(played)
    played.provider.journal[-1]["key"] = "another"


def other_words(played: demo.Play) -> None:
    mail(played, "ada.moss")["body"] = "Hello Ada, give us your password."


def another_subject(played: demo.Play) -> None:
    mail(played, "ada.moss")["subject"] = "You have won"


def never_approved(played: demo.Play) -> None:
    played.stage.conn.execute(
        "update jobsdb.card_reviews set reviewer = null from public.kanban_cards as c"
        " where c.id::text = card_id and c.content ->> 'contact_id' = 'demo/ada.moss'"
    )


def approved_afterwards(played: demo.Play) -> None:
    played.stage.conn.execute(
        "update jobsdb.card_reviews set decided_at = now() from public.kanban_cards as c"
        " where c.id::text = card_id and c.content ->> 'contact_id' = 'demo/ada.moss'"
    )


def to_somebody_suppressed(played: demo.Play) -> None:
    played.stage.conn.execute(
        "select jobsdb.suppress(%s, 'domain', 'moss.example', 'asked to')", [played.stage.org]
    )


def after_an_answer(played: demo.Play) -> None:
    journal = played.provider.journal
    heard = next(e for e in journal if e["what"] == "reply")
    journal.remove(heard)
    journal.insert(0, heard)


def after_a_rejection(played: demo.Play) -> None:
    played.stage.conn.execute(
        "update jobsdb.job_contacts set state = 'stopped', reason = 'rejected'"
        " where contact_key = 'demo/ada.moss'"
    )


def not_in_the_ledger(played: demo.Play) -> None:
    played.stage.conn.execute(
        "update jobsdb.sends set state = 'failed' where contact_key = 'demo/ada.moss'"
    )


def never_arrived(played: demo.Play) -> None:
    played.provider.journal.remove(mail(played, "ada.moss"))


def a_wrong_counter(played: demo.Play) -> None:
    played.stage.conn.execute(
        "update public.jobs set cards_done = cards_done + 1, tasks_done = tasks_done - 1"
    )


def not_over(played: demo.Play) -> None:
    conn = played.stage.conn
    conn.execute("set local session_replication_role = replica")
    conn.execute("update public.jobs set status = 'failed'")
    conn.execute("set local session_replication_role = origin")


TWICE, APPROVED, SUPPRESSED, STOPPED, LEDGER, COUNTERS, OVER = range(CLAIMS)
ADA = "ada.moss@moss.example"
TAMPERED: dict[Change, dict[int, str]] = {
    again: {TWICE: f"{ADA} has got touch 0 2 times"},
    under_another_key: {
        TWICE: f"{ADA} has got touch 0 2 times",
        LEDGER: f"that to {ADA} is not in the ledger",
    },
    other_words: {APPROVED: f"{ADA} has got what nobody approved"},
    another_subject: {APPROVED: f"{ADA} has got what nobody approved"},
    never_approved: {APPROVED: f"{ADA} has got what nobody approved"},
    approved_afterwards: {APPROVED: f"{ADA} has got what nobody approved"},
    to_somebody_suppressed: {SUPPRESSED: f"{ADA} was mailed"},
    after_an_answer: {STOPPED: "emil.moss@moss.example was mailed"},
    after_a_rejection: {STOPPED: f"{ADA} was mailed"},
    not_in_the_ledger: {LEDGER: f"that to {ADA} is not in the ledger"},
    never_arrived: {LEDGER: f"that to {ADA} has never arrived"},
    a_wrong_counter: {COUNTERS: "tasks_done is 24, there are 25"},
    not_over: {OVER: "it is failed"},
}


@pytest.mark.parametrize("change", TAMPERED, ids=lambda change: change.__name__)
def test_the_proof_fails_for_what_was_tampered_with_and_for_nothing_else(
    played: demo.Play, capsys: pytest.CaptureFixture[str], change: Change
) -> None:
    change(played)
    capsys.readouterr()
    assert not played.prove()
    said = capsys.readouterr().out
    signs = re.findall("^  ([✓✗])", said, re.MULTILINE)
    assert len(signs) == CLAIMS
    assert {n for n, sign in enumerate(signs) if sign == "✗"} == set(TAMPERED[change])
    for wrong in TAMPERED[change].values():
        assert wrong in said


def test_a_provider_that_forgets_what_it_has_is_found_out(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(provider.Provider, "has", lambda *_: False)
    monkeypatch.setattr(verify, "run", lambda *_: 0)
    assert demo.run(url) == errors.Exit.NO
    said = capsys.readouterr().out
    assert "✗ nobody was mailed twice: 86 e-mails, 84 different" in said
    assert "hana.aydin@aydin.example has got touch 0 2 times" in said
    assert "fay.hill@hill.example has got touch 1 2 times" in said
    assert said.count("✗") == 1


BROKEN = {
    "the gate no longer asks who has answered": (
        *("jobsdb.may_go_out(jobsdb.sends)", "return (\n    select c.reason"),
        *("return null; return (\n    select c.reason", STOPPED),
    ),
    "nobody counts as suppressed": (
        *("jobsdb.is_suppressed(uuid, text)", "return exists", "return false and exists"),
        SUPPRESSED,
    ),
    "other words are sent than were approved": (
        *("jobsdb.queue_send(jsonb)", "queue_send.card #>> '{content,body}'", "'Buy!'"),
        APPROVED,
    ),
    "an answer no longer ends the sequence": (
        *("jobsdb.stop_contact(uuid, uuid, text, text)", "c.state in ('active', 'finished')"),
        *("false", STOPPED),
    ),
    "a repeat has another key": (
        *("begin_send(bigint, uuid, boolean, interval)", ":= v_send.idempotency_key"),
        *(":= v_send.idempotency_key || v_send.attempt", TWICE),
    ),
    "sent cards are no longer counted": (
        *("jobsdb.update_job_metrics_on_card_change()", "begin\n", "begin return null;\n"),
        COUNTERS,
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_proof_fails_where_jobsdb_is_broken(
    db: psycopg.Connection, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    function, right, wrong, claim = BROKEN[what]
    (text,) = db.execute("select pg_get_functiondef(%s::regprocedure)", [function]).fetchone()
    assert right in text
    db.execute(text.replace(right, wrong, 1).encode())
    played = demo.play(db)
    capsys.readouterr()
    assert not played.prove()
    signs = re.findall("^  ([✓✗])", capsys.readouterr().out, re.MULTILINE)
    assert signs[claim] == "✗"


# --------------------------------------------------------------------------------------- the steps


def test_it_uses_the_public_interface_alone() -> None:
    steps = [step for part in PARTS for step in stage.steps(part)]
    assert {step.actor for step in steps} == {"tenant", "service", "owner"}
    assert [step.header["refused"] for step in steps if "refused" in step.header] == ["JB003"]
    for step in steps:
        if step.actor != "owner":
            assert "jobsdb." not in step.file.text, step.name
        assert len(step.sentence) <= stage.WIDTH - stage.INDENT, step.name
        assert step.sentence.endswith("."), step.name
    by_owner = [step.name for step in steps if step.actor == "owner"]
    assert by_owner == ["suppress", "close", "refresh", "prove"]


def test_every_step_of_a_day_is_played(capsys: pytest.CaptureFixture[str], url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        demo.play(conn).prove()
    said = capsys.readouterr().out
    for part in PARTS:
        for step in stage.steps(part):
            assert said.count(step.sentence) == 1


def test_a_move_that_must_be_refused_is_not_quietly_done(db: psycopg.Connection) -> None:
    db.execute("alter table public.kanban_cards disable trigger jobsdb_t30_guard")
    with pytest.raises(errors.JobsdbError, match="must be refused was not") as wrong:
        demo.play(db)
    assert wrong.value.at == "sql/seeds/demo/2_every_day/04_approve_own.sql"


def test_a_step_that_fails_is_named(db: psycopg.Connection) -> None:
    db.execute("revoke execute on function claim_sends from service_role")
    with pytest.raises(errors.JobsdbError, match="permission denied") as wrong:
        demo.play(db)
    assert wrong.value.at == "sql/seeds/demo/2_every_day/07_take_sends.sql"
    assert wrong.value.code == errors.Exit.CONNECT


# ------------------------------------------------------------------------------------- the command


def test_from_an_empty_database_to_a_clean_verify_and_again(empty_url: str) -> None:
    for runs in (1, 2):
        said = commands.run("demo", "-d", empty_url, DATABASE_URL="postgresql://nowhere.invalid/x")
        assert said.returncode == 0, said.stderr
        with psycopg.connect(empty_url) as conn:
            assert [play.status for play in plays(conn)] == ["succeeded"] * runs
            assert len(samples.find(conn)) == 5 + runs
        lines = said.stdout.splitlines()
        assert len(lines) <= 95
        assert max(map(len, lines)) <= stage.WIDTH
        assert all(line.isprintable() for line in lines)
        assert all(line.isprintable() for line in said.stderr.splitlines())
        numbers = [int(found[1]) for line in lines if (found := re.match(r" {0,2}(\d+)  \w", line))]
        assert numbers == list(range(1, sum(len(stage.steps(part)) for part in PARTS) + 1))
        days = [found[1] for line in lines if (found := re.match(r"day (\S+)  +\S", line))]
        assert days == ["0", "1", "2", "3", "4", "5", "6-9", "10", "11"]
        assert "(JB003)" in said.stdout
        assert re.search(r"e-mails sent +84$", said.stdout, re.MULTILINE)
        assert said.stdout.count("✓") == CLAIMS
        assert re.search(r"^(\d+) checks, \1 ok", said.stdout, re.MULTILINE)


def test_it_plays_where_the_locale_knows_no_check_marks(url: str) -> None:
    said = commands.run("demo", "-d", url, PYTHONIOENCODING="ascii")
    assert said.returncode == 0, said.stderr
    assert said.stdout.isascii()
    assert "  ? nobody was mailed twice: 84 e-mails, 84 different" in said.stdout


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
        assert demo.play(conn).prove()
        assert [play.status for play in plays(conn)] == ["succeeded"]
        assert seed.run(empty_url, remove=True) == 0
        assert conn.execute("select count(*) from public.kanban_cards").fetchone() == (before,)


def test_where_cards_of_the_host_want_more_it_says_what_to_do(empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as conn:
        migrate(empty_url, only_prerequisites=True)
        conn.execute(HOST)
        conn.execute("alter table public.kanban_cards alter mood set not null")
        conn.execute("alter table public.kanban_cards alter mood drop default")
        migrate(empty_url)
        with pytest.raises(errors.JobsdbError, match='null value in column "mood"') as wrong:
            demo.play(conn)
        assert wrong.value.at == "sql/seeds/demo/2_every_day/03_draft.sql"
        assert "Play in a scratch database" in str(wrong.value.hint)
        assert seed.run(empty_url, [samples.DEMO], remove=True) == 0
        assert plays(conn) == []


def test_where_contacts_are_read_from_the_host_it_refuses(url: str, db: psycopg.Connection) -> None:
    db.execute("create table people (id int, email text, org uuid)")
    db.execute("select jobsdb.bind_host_contacts('people', org_column => 'org')")
    with pytest.raises(errors.Refused, match="reads its contacts elsewhere") as wrong:
        demo.run(url)
    assert "people" in str(wrong.value.detail)
    assert samples.find(db) == []


def test_what_was_played_can_be_removed(url: str, db: psycopg.Connection) -> None:
    seed.run(url)
    counts = " union all ".join(f"select '{table}', count(*) from {table}" for table in TABLES)
    before = db.execute(counts).fetchall()
    for _ in range(2):
        demo.play(db)
    assert db.execute(counts).fetchall() != before
    assert seed.run(url, [samples.DEMO], remove=True) == 0
    assert plays(db) == []
    assert db.execute(counts).fetchall() == before
    demo.play(db)
    assert seed.run(url, remove=True) == 0
    assert {number for _, number in db.execute(counts)} == {0}


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
    play = plain[plain.index("A campaign of") : plain.index("jobsdb verify:")]
    assert max(map(len, play.splitlines())) <= stage.WIDTH
    assert {f"day {day}" for day in range(demo.DAYS)} == set(
        re.findall(r"day \d+(?= +[━╸╺])", play)
    )


@pytest.mark.skipif(BINDIR is not None, reason="runs on the embedded server")
def test_without_a_database_it_brings_its_own(data_root: Path) -> None:
    said = commands.run(
        "demo", JOBSDB_HOME=str(data_root), DATABASE_URL="postgresql://nowhere.invalid/x"
    )
    assert said.returncode == 0, said.stderr
    assert ", embedded)" in said.stderr.splitlines()[0]
