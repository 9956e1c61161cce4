"""`jobsdb explain`: what happens when …, from the live catalog."""

import json
from collections.abc import Iterator

import psycopg
import pytest

import world
from commands import run
from helpers import SQL
from jobsdb.errors import Exit, JobsdbError
from jobsdb.learn import catalog, explain
from jobsdb.learn.catalog import Catalog


@pytest.fixture(scope="module")
def found(module_db: psycopg.Connection) -> Catalog:
    return catalog.read(module_db)


def told(found: Catalog, word: str) -> str:
    return "\n".join(line for line, _ in explain.text(found, explain.find(found, word)))


def in_order(text: str, *parts: str) -> bool:
    places = [text.index(part) for part in parts]
    return places == sorted(places)


class TestAReader:
    def test_learns_what_happens_when_a_card_is_approved(self, url: str) -> None:
        said = run("explain", "approved", "-d", url)
        assert said.returncode == Exit.DONE
        assert "in_review -> approved: a person says yes\n" in said.stdout
        assert in_order(
            said.stdout,
            "authenticated, service_role: review_card, review_cards, plain SQL",
            "When public.kanban_cards.state is updated, in firing order",
            "before each row",
            "jobsdb_t20_complete_upd",
            "after each row",
            "jobsdb_t30_guard",
            "runs: jobsdb.guard_card",
            "refuses: JB003 illegal move or approval by nobody",
            "jobsdb_t40_send_upd",
            "Queues the e-mail of an approved card",
            "source: sql/triggers/sends.sql, sql/functions/send/follow_card.sql",
            "after the statement",
            "jobsdb_t50_metrics_upd",
            "Who may do what, in plain SQL",
            "anon: nothing",
        )
        assert "_del" not in said.stdout
        assert "_ins" not in said.stdout

    def test_learns_what_goes_with_a_deleted_job(self, found: Catalog) -> None:
        assert in_order(
            told(found, "jobs"),
            "When a row is deleted",
            "public.job_tasks: cascade",
            "public.kanban_cards: set null (job_id)",
            "t60_audience_del",
        )

    def test_learns_what_a_function_does_and_refuses(self, found: Catalog) -> None:
        said = told(found, "review_card()")
        assert in_order(
            said,
            "public.review_card(card_id text, decision text, reviewer uuid",
            "errors: as review_cards; JB011 content without an approval.",
            "authenticated, service_role",
            "update public.kanban_cards: jobsdb explain kanban_cards",
            "calls public.review_cards: Decides on cards",
            "sql/functions/card/review_card.sql",
        )

    def test_learns_who_runs_a_trigger_function(self, found: Catalog) -> None:
        assert (
            "Nobody; it is run by public.agent_runs.jobsdb_t30_guard_ins,"
            " public.agent_runs.jobsdb_t30_guard_upd." in " ".join(told(found, "guard_run").split())
        )

    def test_learns_the_moves_of_a_column_and_who_writes_it(self, found: Catalog) -> None:
        said = told(found, "job_tasks.status")
        assert "pending -> running: claimed or started\n" in said
        assert "authenticated: insert, update" in said
        assert "authenticated: only by functions" in told(found, "public.jobs.tasks_total")

    def test_sees_that_a_column_list_leaves_a_trigger_out(self, found: Catalog) -> None:
        assert "t15_budget_upd" in told(found, "jobs.paused_at")
        assert "t15_budget_upd" not in told(found, "jobs.status")


@pytest.mark.parametrize(
    ("word", "headings"),
    [
        ("pending", ["pending, a status of public.jobs", "pending, a status of public.job_tasks"]),
        ("done", ["done, a status of public.job_tasks", "done, a state of public.kanban_cards"]),
        (
            "transition_job_status",
            ["public.transition_job_status(", "jobsdb.transition_job_status("],
        ),
    ],
)
def test_a_word_of_several_meanings_is_told_with_all(
    found: Catalog, word: str, headings: list[str]
) -> None:
    assert in_order(told(found, word), *headings)


@pytest.mark.parametrize("word", ["aproved", "kanban_card", "PUBLIC.JOBZ", "zzz", "'; drop"])
def test_an_unknown_word_is_answered_with_those_near_it(found: Catalog, word: str) -> None:
    near = {"aproved": "approved", "kanban_card": "kanban_cards", "PUBLIC.JOBZ": "jobs"}
    with pytest.raises(JobsdbError) as info:
        explain.find(found, word)
    assert info.value.code == Exit.NO
    assert info.value.sentence == f'nothing of jobsdb is called "{word}"'
    assert near.get(word, "Name a table") in (info.value.hint or "")


def test_a_database_without_jobsdb_is_named(empty_url: str) -> None:
    said = run("explain", "approved", "-d", empty_url)
    assert said.returncode == Exit.SQL
    assert "hint: Is jobsdb installed here? Run `jobsdb migrate`." in said.stderr


def test_every_word_is_told_within_80_columns(found: Catalog) -> None:
    for word in explain.words(found):
        lines = told(found, word).splitlines()
        assert lines
        assert [line for line in lines if len(line) > 80] == [], word


def test_the_document_has_a_version_and_the_same_facts(url: str) -> None:
    said = run("explain", "done", "-d", url, "--json")
    document = json.loads(said.stdout)
    assert document["version"] == 1
    assert [each["kind"] for each in document["meanings"]] == ["status", "status"]
    moves = document["meanings"][1]["moves"]
    assert {(m["from_status"], m["to_status"]) for m in moves} == {
        ("in_review", "done"),
        ("approved", "done"),
    }


class TestTheCatalog:
    def test_is_live(self, db: psycopg.Connection) -> None:
        db.execute("alter table public.jobs disable trigger t10_guard_upd")
        db.execute(
            "create trigger a00_mine after update on public.jobs for each row"
            " execute function jobsdb.follow_job_move()"
        )
        said = told(catalog.read(db), "jobs")
        assert "t10_guard_upd (DISABLED)" in said
        assert in_order(said, "after each row", "a00_mine", "t70_follow_upd")

    def test_tells_of_a_host_s_trigger_as_far_as_it_is_known(self, db: psycopg.Connection) -> None:
        db.execute(
            "create function public.mine() returns trigger language plpgsql as $$ begin"
            " return new; end $$;"
            "create trigger set_time before update on public.kanban_cards for each row"
            " execute function public.mine()"
        )
        found = catalog.read(db)
        assert in_order(
            told(found, "approved"),
            "jobsdb_t25_stamp_upd",
            "set_time",
            "runs: public.mine",
            "source: not jobsdb's",
            "jobsdb_t30_guard",
        )
        with pytest.raises(JobsdbError):
            explain.find(found, "mine")

    def test_lists_triggers_in_the_order_in_which_they_fire(self, db: psycopg.Connection) -> None:
        """Against what happens: each trigger of a new table says when it was its turn."""
        db.execute(
            "create table jobsdb.fired (n bigint generated always as identity, name text);"
            "create table jobsdb.probe (id int);"
            "create function jobsdb.say() returns trigger language plpgsql as $$ begin"
            " insert into jobsdb.fired (name) values (tg_name); return new; end $$;"
            "create constraint trigger a after insert on jobsdb.probe deferrable initially deferred"
            " for each row execute function jobsdb.say();"
        )
        for name, moment in (
            ("b", "after insert on jobsdb.probe for each statement"),
            ("z", "after insert on jobsdb.probe for each row"),
            ("C", "after insert on jobsdb.probe for each row"),
            ("_d", "before insert on jobsdb.probe for each row"),
            ("e", "before insert on jobsdb.probe for each row"),
            ("f", "before insert on jobsdb.probe for each statement"),
        ):
            db.execute(f'create trigger "{name}" {moment} execute function jobsdb.say()')
        db.execute("insert into jobsdb.probe values (1)")
        listed = [t.name for t in catalog.read(db).relation("jobsdb.probe").triggers]
        assert listed == world.column(db, "select name from jobsdb.fired order by n")

    def test_knows_the_file_of_everything(self, found: Catalog) -> None:
        for relation in found.relations:
            assert relation.full_name in found.sources
            for trigger in relation.triggers:
                assert f"{relation.full_name}.{trigger.name}" in found.sources
        assert all(function.source.startswith("sql/") for function in found.functions)

    def test_is_refused_rather_than_half_told(self, db: psycopg.Connection) -> None:
        with db.transaction(force_rollback=True):
            db.execute("grant usage on schema jobsdb to authenticated")
            db.execute("grant select on jobsdb.transitions to authenticated")
            db.execute("set local role authenticated")
            with pytest.raises(JobsdbError, match="row-level security") as info:
                catalog.read(db)
        assert info.value.code == Exit.CONNECT


class TestMoves:
    def test_every_legal_move_is_known_and_nothing_else(
        self, found: Catalog, module_db: psycopg.Connection
    ) -> None:
        listed = set(
            module_db.execute("select entity, from_status, to_status from jobsdb.transitions")
        )
        told = {(m.entity, m.from_status, m.to_status) for m in found.moves if m.from_status}
        assert told == listed

    def test_none_is_left_without_its_makers(self, found: Catalog) -> None:
        named = (SQL / "explain" / "moves.sql").read_text().replace("\n    ", " ")
        for move in found.moves:
            words = f"'{move.entity}', '{move.from_status}', '{move.to_status}', '{{"
            assert words.replace("'None'", "null") in named

    def test_functions_that_make_a_move_can_reach_the_word(self, found: Catalog) -> None:
        texts = dict(_bodies(found))
        for move in found.moves:
            for name in move.functions:
                reached = " ".join(texts[each] for each in _reached(found, f"public.{name}"))
                assert f"'{move.to_status}'" in reached, (move, name)


def _reached(found: Catalog, name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The functions a function may run, itself included, and those of the triggers it fires."""
    todo, done = [name], set(seen)
    while todo:
        function = found.function(todo.pop())
        if function.full_name in done:
            continue
        done.add(function.full_name)
        todo += function.calls
        for change in function.changes:
            todo += [t.function for t in found.relation(change["table"]).triggers]
    return done


def _bodies(found: Catalog) -> Iterator[tuple[str, str]]:
    for function in found.functions:
        yield function.full_name, (SQL.parent / function.source).read_text()


def test_a_comment_is_read_by_its_sentences() -> None:
    assert catalog.first_sentence("Does a, e.g. with b. Then c.") == "Does a, e.g. with b."
    assert catalog.first_sentence(None) == ""
