"""`jobsdb migrate --adopt`: a jobs system made by hand gives way, and nothing of it is lost."""

import json
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest

import world
from commands import catalog, database, run, start
from helpers import SQL, as_role, as_service, as_tenant, new_database, refused
from jobsdb import connect, errors
from jobsdb.check import checks, verify
from jobsdb.deploy import adopt, rehearsal
from jobsdb.deploy.migrate import Event, Options, migrate
from jobsdb.local import Server
from old_world import HOST, NAMES, ROLES, VARIANTS, A, B, Old, rows
from world import one, row

PLAIN = Old()


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
    """Everything `jobsdb verify` finds, warnings and notes included."""
    with connect.connect(url) as conn:
        results = verify.examine(conn)
    return [
        f"{result.check.number} {result.word}: {finding}"
        for result in results
        for finding in result.findings
    ]


def notes_of(url: str) -> list[str]:
    """Adopt, and return what was said."""
    events: list[Event] = []
    migrate(url, adopt_old=True, progress=events.append)
    return [event.text for event in events if event.kind == "note"]


def go_back(url: str) -> None:
    """Do what the command says is the way back, as it says it."""
    with psycopg.connect(url) as conn:
        text = conn.execute(adopt.WAY_BACK.encode()).fetchone()[0]
        conn.execute(text)


def shape(url: str) -> list[str]:
    """What is in the catalog; rights written out that are there by default count as not written."""
    default = re.compile(
        r"acl \| (function|relation \S+_seq) .*\{(=X/postgres,)?postgres=\w+/postgres\}"
    )
    return [line for line in catalog(url) if not default.fullmatch(line)]


OLD_ROWS = """
select 'job', to_jsonb(j.*)::text from {0}.jobs as j
union all select 'task', to_jsonb(t.*)::text from {0}.job_tasks as t order by 1, 2
"""
HOST_ROWS = """
select 'card', to_jsonb(k.*)::text from public.kanban_cards as k
union all select 'run', to_jsonb(r.*)::text from public.agent_runs as r order by 1, 2
"""


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def old(request: pytest.FixtureRequest) -> Old:
    return request.param


@pytest.fixture
def old_url(empty_url: str) -> str:
    """A database with the most ordinary old jobs system, and rows in it."""
    execute(empty_url, PLAIN.sql + rows(PLAIN))
    return empty_url


@pytest.fixture
def db(old_url: str) -> Iterator[psycopg.Connection]:
    """That database, adopted."""
    migrate(old_url, adopt_old=True)
    with psycopg.connect(old_url, autocommit=True) as conn:
        yield conn


class TestRecognising:
    def test_without_the_option_the_command_is_named(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql)
        before = catalog(empty_url)
        refused = refusal(empty_url)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert "`jobsdb migrate --adopt`" in refused.hint
        score, best = map(int, re.search(r"by (\d+) of (\d+) marks", refused.detail).groups())
        assert 20 < score < best
        assert catalog(empty_url) == before

    def test_the_shell_is_told_the_same(self, old_url: str) -> None:
        done = run("migrate", "-d", old_url)
        assert done.returncode == errors.Exit.REFUSED
        assert "hint: Run `jobsdb migrate --adopt`" in done.stderr

    @pytest.mark.parametrize(
        ("there", "missing"),
        [
            ("create table public.jobs (id int, title text, salary numeric)", "public.job_tasks"),
            ("create table public.jobs (id int, title text)", "public.jobs.id (uuid; it is int"),
            ("create view public.jobs as select 1 as id", "an ordinary table public.jobs"),
            ("create function public.cancel_job(uuid) returns int return 1", "table public.jobs"),
            (
                PLAIN.sql.replace("step int not null, kind text", "step int not null, sort text"),
                "public.job_tasks.kind (text)",
            ),
            (
                PLAIN._tables(("text", "text"), True).join([ROLES + HOST, ""]),
                "any of its functions and views",
            ),
        ],
    )
    def test_something_else_of_that_name_is_refused_and_stays(
        self, empty_url: str, there: str, missing: str
    ) -> None:
        execute(empty_url, there)
        before = catalog(empty_url)
        refused = refusal(empty_url, adopt_old=True)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert missing in refused.detail
        assert "marks" in refused.detail
        assert catalog(empty_url) == before

    @pytest.mark.parametrize("mode", ["--plan", "--sql", "--rehearse"])
    def test_what_only_tells_refuses_it_too(self, old_url: str, mode: str) -> None:
        done = run("migrate", mode, "-d", old_url)
        assert (done.returncode, done.stdout) == (errors.Exit.REFUSED, "")
        assert "hint: Run `jobsdb migrate --adopt`" in done.stderr

    def test_something_else_is_not_said_to_be_adoptable(self, empty_url: str) -> None:
        execute(empty_url, "create table public.jobs (id int)")
        refused = refusal(empty_url)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert "--adopt" not in refused.hint

    def test_an_empty_database_has_nothing_to_adopt_and_is_deployed(self, empty_url: str) -> None:
        assert "nothing to adopt: there is no older jobs system here" in notes_of(empty_url)
        assert ask(empty_url, "select to_regnamespace('jobsdb_before')") == [(None,)]
        assert findings(empty_url) == []

    def test_where_jobsdb_is_already_it_is_an_ordinary_run(self, url: str) -> None:
        before = catalog(url)
        assert notes_of(url) == ["nothing to adopt: jobsdb is here already"]
        assert catalog(url) == before

    def test_every_public_name_of_jobsdb_is_moved_out_of_the_way(self) -> None:
        listed = set(re.findall(r"'(\w+)'", (SQL / "adopt" / "20_list.sql").read_text()))
        ours = {name.removeprefix("public.") for name, _ in checks.expected_facts()["ours"]}
        assert ours - {"kanban_cards", "agent_runs", "job_tasks_id_seq"} <= listed


class TestMoving:
    def test_without_rows_the_move_is_all(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql)
        result = migrate(empty_url, adopt_old=True)
        assert (result.taken.jobs, result.taken.left) == (0, ())
        assert findings(empty_url) == []
        kinds = ask(
            empty_url,
            "select relname, relkind::text from pg_class"
            " where relnamespace = 'jobsdb_before'::regnamespace and relname = any(%s)",
            ["jobs", "job_tasks", "job_metrics", "recent_job_activity", "idx_job_tasks_status"],
        )
        metrics = {"materialized view": "m", "view": "v", "table": "r"}[old.metrics.split(" as")[0]]
        assert dict(kinds) == {
            "jobs": "r", "job_tasks": "r", "job_metrics": metrics, "recent_job_activity": "v",
            "idx_job_tasks_status": "i",
        }  # fmt: skip

    def test_the_second_run_is_a_plain_no_op(self, old_url: str) -> None:
        migrate(old_url, adopt_old=True)
        before = catalog(old_url), ask(old_url, OLD_ROWS.format("public"))
        assert notes_of(old_url) == ["nothing to adopt: jobsdb is here already"]
        assert migrate(old_url).applied == ()
        assert (catalog(old_url), ask(old_url, OLD_ROWS.format("public"))) == before

    def test_old_rows_are_untouched_where_they_are_now(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql + rows(old))
        before = ask(empty_url, OLD_ROWS.format("public"))
        migrate(empty_url, adopt_old=True)
        assert ask(empty_url, OLD_ROWS.format("jobsdb_before")) == before

    def test_the_host_keeps_its_rows_but_for_what_is_said(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql + rows(old))
        before = ask(empty_url, HOST_ROWS)
        result = migrate(empty_url, adopt_old=True)
        told = {entity_id for entity, entity_id, _, _ in result.taken.left if entity == "card"}
        after = ask(empty_url, HOST_ROWS)
        if old.card_task_id == "bigint" and old.links:
            changed = set(before) - set(after)
            assert {re.search(r'"id": "([^"]+)"', text)[1] for _, text in changed} == told
        assert len(before) == len(after)
        untouched = "select count(*) from public.kanban_cards where updated_at <> '2025-01-01'"
        assert ask(empty_url, untouched) == [(0,)]

    def test_tenants_cannot_look_into_it(self, db: psycopg.Connection) -> None:
        tables = world.column(
            db,
            "select oid::regclass::text from pg_class where relkind in ('r', 'v', 'm')"
            " and relnamespace = 'jobsdb_before'::regnamespace",
        )
        assert len(tables) > 12
        for table in tables:
            for role in ("anon", "authenticated", "service_role"):
                with as_role(db, role, {"sub": A}), refused(db, "42501"):
                    db.execute(f"select * from {table}")
        # Nor would USAGE alone open it.
        db.execute("grant usage on schema jobsdb_before to authenticated")
        for table in tables:
            with as_tenant(db, A), refused(db, "42501"):
                db.execute(f"select * from {table}")
        with as_tenant(db, A), refused(db, "42501"):
            db.execute("select jobsdb_before.cancel_job(gen_random_uuid())")

    def test_old_triggers_are_off_and_those_of_the_host_on(self, db: psycopg.Connection) -> None:
        enabled = dict(
            db.execute(
                "select tgname, tgenabled::text from pg_trigger where not tgisinternal and"
                " (tgrelid = 'public.kanban_cards'::regclass and tgname !~ '^jobsdb_'"
                " or tgrelid in ('jobsdb_before.jobs'::regclass,"
                " 'jobsdb_before.job_tasks'::regclass))"
            ).fetchall()
        )
        assert enabled == {
            "touch": "O", "job_metrics_on_card": "D", "job_metrics_on_task": "D",
            "update_jobs_updated_at": "D",
        }  # fmt: skip
        assert one(db, "select to_regprocedure('public.touch()') is not null")

    def test_it_is_said_what_became_of_the_hosts_triggers_and_keys(self, old_url: str) -> None:
        notes = "\n".join(notes_of(old_url))
        assert "trigger job_metrics_on_card of public.kanban_cards is switched off" in notes
        assert "foreign key kanban_cards_job_id_fkey of public.kanban_cards is replaced" in notes
        assert "FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE SET NULL" in notes
        assert "foreign key agent_runs_job_id_fkey of public.agent_runs is replaced" in notes
        assert "3 tasks run by plain SQL" in notes

    def test_a_schema_of_that_name_is_not_reused(self, old_url: str) -> None:
        execute(old_url, "create schema jobsdb_before; create table jobsdb_before.mine ()")
        refused = refusal(old_url, adopt_old=True)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert "jobsdb_before" in refused.sentence
        assert ask(old_url, "select to_regclass('public.jobs')::text")[0] != (None,)

    def test_an_owner_who_is_no_superuser_can_adopt(self, empty_url: str, server: Server) -> None:
        role = f"deployer_{database(empty_url)}"
        execute(empty_url, ROLES)
        execute(empty_url, f"create role {role} login createrole")
        try:
            execute(
                empty_url,
                f"grant create on database {database(empty_url)} to {role};"
                f"grant create on schema public to {role} with grant option;"
                f"grant usage on schema auth, public to {role};"
                f"grant anon, authenticated, service_role to {role}",
            )
            mine = empty_url.replace("postgres@", f"{role}@")
            execute(mine, PLAIN.sql.removeprefix(ROLES) + rows(PLAIN))
            result = migrate(mine, adopt_old=True)
            assert (result.taken.jobs, result.taken.tasks) == (6, 30)
            assert [f for f in findings(mine) if "FAIL" in f] == []
        finally:
            execute(empty_url, f"drop owned by {role} cascade")
            execute(empty_url, f"drop role {role}")


class TestRows:
    def test_everything_that_fits_is_taken_over(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql + rows(old))
        result = migrate(empty_url, adopt_old=True)
        assert (result.taken.jobs, result.taken.tasks) == (6, 30)
        # Of the succeeded job two cards only: the others are not decided.
        assert (result.taken.cards, result.taken.runs) == ((27, 6) if old.links else (0, 0))
        assert findings(empty_url) == []
        with psycopg.connect(empty_url) as conn:
            world.check_counters(conn)

    def test_jobs_keep_id_status_and_times(self, db: psycopg.Connection) -> None:
        found = {
            r["name"]: (str(r["id"]), r["status"], r["started"], r["finished"])
            for r in world.rows(
                db,
                "select id, name, status, to_char(started_at at time zone 'UTC', 'DD HH24') as"
                " started, to_char(finished_at at time zone 'UTC', 'DD HH24') as finished"
                " from public.jobs where created_at = '2025-01-02 10:00+00'",
            )
        }
        assert found == {
            "pending": (NAMES["pending"], "pending", None, None),
            "running": (NAMES["running"], "running", "02 11", None),
            "succeeded": (NAMES["succeeded"], "succeeded", "02 11", "03 12"),
            "failed": (NAMES["failed"], "failed", "02 11", "03 12"),
            "cancelled": (NAMES["cancelled"], "cancelled", "02 11", "03 12"),
            "of B": (NAMES["of B"], "running", "02 11", None),
        }
        assert one(db, "select params from public.jobs limit 1") == {"anything": 1}

    @pytest.mark.parametrize(
        ("job", "fourth", "fifth"),
        [
            ("pending", "running", "pending"),
            ("running", "running", "pending"),
            ("succeeded", "skipped", "skipped"),
            ("failed", "skipped", "skipped"),
            ("cancelled", "skipped", "skipped"),
        ],
    )
    def test_tasks_keep_what_they_were(
        self, db: psycopg.Connection, job: str, fourth: str, fifth: str
    ) -> None:
        tasks = world.rows(
            db, "select * from public.job_tasks where job_id = %s order by step", NAMES[job]
        )
        assert [t["status"] for t in tasks] == ["done", "error", "skipped", fourth, fifth]
        assert {t["org_id"] for t in tasks} == {UUID(A)}
        done, error, skipped, running, _ = tasks
        assert (done["output"], error["error_message"]) == ({"found": True}, "API timeout")
        assert (done["retry_count"], error["retry_count"]) == (0, 2)
        for task in (done, error):
            assert task["started_at"].isoformat().startswith("2025-01-02T12:00")
            assert task["finished_at"].isoformat().startswith("2025-01-02T13:00")
        assert skipped["finished_at"].isoformat().startswith("2025-01-02T13:00")
        if fourth == "running":
            assert running["started_at"].isoformat().startswith("2025-01-02T12:00")
            assert running["lease_expires_at"] is None

    def test_task_ids_stay_and_new_ones_follow(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql + rows(old))
        ids = ask(empty_url, "select id::text from public.job_tasks order by id")
        migrate(empty_url, adopt_old=True)
        new_ids = ask(empty_url, "select id::text from public.job_tasks order by id")
        if old.ids == "uuid":
            mapped = ask(empty_url, "select old_id::text from jobsdb_before.task_ids order by 1")
            assert mapped == ids
        else:
            assert new_ids == ids
        with psycopg.connect(empty_url) as conn:
            task = world.new_task(conn, UUID(NAMES["running"]))
            assert task > max(int(task_id) for (task_id,) in new_ids)

    def test_cards_and_runs_are_linked_as_before(self, empty_url: str, old: Old) -> None:
        if not old.links:
            pytest.skip("this variant has no links")
        execute(empty_url, old.sql + rows(old))
        query = (
            "select k.title, j.name, t.kind, t.step from public.kanban_cards as k"
            " inner join public.jobs as j on j.id = k.job_id"
            " inner join public.job_tasks as t on t.id = k.task_id"
            " where (j.name, k.state) not in"
            " (('succeeded', 'in_review'), ('succeeded', 'approved'), ('succeeded', 'todo'))"
            " order by 1"
        )
        runs = "select r.id, j.name from public.agent_runs as r join public.jobs as j on j.id ="
        before = ask(empty_url, query), ask(empty_url, f"{runs} r.job_id order by 1")
        migrate(empty_url, adopt_old=True)
        assert (ask(empty_url, query), ask(empty_url, f"{runs} r.job_id order by 1")) == before
        assert len(before[0]) == 27

    def test_an_approved_card_goes_back_to_a_person_and_nothing_is_sent(self, old_url: str) -> None:
        result = migrate(old_url, adopt_old=True)
        assert ask(old_url, "select count(*) from jobsdb.sends") == [(0,)]
        states = ask(
            old_url,
            "select j.name, k.state from public.kanban_cards as k"
            " join public.jobs as j on j.id = k.job_id where k.title like '%% approved' order by 1",
        )
        assert states == [(name, "in_review") for name in sorted(NAMES) if name != "succeeded"]
        told = [why for _, _, _, why in result.taken.left if "a person has to approve it" in why]
        assert len(told) == 5
        # Of the job that has succeeded it stays approved, and is linked no more.
        assert ask(
            old_url,
            "select state, job_id, task_id from public.kanban_cards"
            " where title = 'succeeded approved'",
        ) == [("approved", None, None)]

    def test_a_job_without_review_sends_nothing_either(self, old_url: str) -> None:
        execute(old_url, "update public.jobs set params = '{\"review_mode\": false}'")
        migrate(old_url, adopt_old=True)
        assert ask(old_url, "select count(*) from jobsdb.sends") == [(0,)]
        assert findings(old_url) == []

    @pytest.mark.parametrize(
        ("broken", "left"),
        [
            (
                f"update public.job_tasks set kind = 'dance' where job_id = '{NAMES['running']}'"
                " and step = 1",
                [
                    ("task", '"dance" is no kind of task (JB011)'),
                    ("card", "linked to its job only"),
                ],
            ),
            (
                f"update public.job_tasks set input = '[1]' where job_id = '{NAMES['failed']}'"
                " and step = 2",
                [("task", "the input of a task must be a JSON object (JB011)")],
            ),
            (
                f"update public.jobs set name = ' ' where id = '{NAMES['running']}'",
                [("job", "name or params cannot be used (JB010)"), ("card", "was not taken over")],
            ),
            (
                'update public.jobs set params = \'{"cadence": {"dayX": true}}\''
                f" where id = '{NAMES['cancelled']}'",
                [("job", "(JB010)"), ("run", "was not taken over")],
            ),
            (
                "alter table public.jobs drop constraint jobs_status_check;"
                f"update public.jobs set status = 'archived' where id = '{NAMES['running']}'",
                [("job", '"archived" is no status of a job (JB001)')],
            ),
            (
                "alter table public.job_tasks drop constraint job_tasks_status_check;"
                "update public.job_tasks set status = 'lost' where step = 1",
                [("task", "(23514)")],
            ),
            (
                f"update public.kanban_cards set org_id = '{B}' where title = 'running done'",
                [("card", "(JB020)")],
            ),
            (
                f"update public.agent_runs set org_id = '{B}' where job_id = '{NAMES['running']}'",
                [("run", "(JB020)")],
            ),
            (
                "update public.kanban_cards set task_id = (select id from public.job_tasks"
                f" where job_id = '{NAMES['failed']}' and step = 1) where title = 'running done'",
                [("card", "linked to its job only")],
            ),
        ],
    )
    def test_what_does_not_fit_is_named_and_the_rest_goes_on(
        self, old_url: str, broken: str, left: list[tuple[str, str]]
    ) -> None:
        before = ask(old_url, "select count(*) from public.jobs")[0][0]
        execute(old_url, broken)
        result = migrate(old_url, adopt_old=True)
        told = [(entity, why) for entity, _, _, why in result.taken.left]
        for entity, part in left:
            assert [why for what, why in told if what == entity and part in why], told
        jobs = sum(entity == "job" for entity, _ in told)
        assert result.taken.jobs == before - jobs
        assert findings(old_url) == []
        stored = "select entity, reason from jobsdb_before.not_adopted order by id"
        assert [entity for entity, _ in ask(old_url, stored)] == [entity for entity, _ in told]

    def test_work_goes_on(self, db: psycopg.Connection) -> None:
        """A person approves, an agent claims and ends, the job succeeds, counters follow."""
        job = NAMES["running"]
        card = one(
            db,
            "select id from public.kanban_cards where title = 'running approved' and job_id = %s",
            job,
        )
        with as_service(db), refused(db, "JB003"):
            world.move_card(db, card, "approved")
        with as_tenant(db, A):
            world.move_card(db, card, "approved")
        assert one(db, "select count(*) from jobsdb.sends where state = 'queued'") == 1
        with as_tenant(db, A):
            cards = db.execute("select * from get_job_cards(%s)", [job]).fetchall()
        assert len(cards) == 5
        db.execute("update public.job_tasks set status = 'done' where status = 'running'")
        with as_service(db):
            retried = db.execute("select * from retry_job(%s)", [job]).fetchall()
            claimed = db.execute("select id from claim_tasks('w', 100)").fetchall()
        assert retried
        assert claimed
        with as_tenant(db, A):
            db.execute("select cancel_job(%s)", [job])
        world.check_counters(db)

    def test_every_bit_of_the_metrics_is_there_at_once(self, db: psycopg.Connection) -> None:
        with as_tenant(db, A):
            found = row(db, "select * from job_metrics where job_id = %s", NAMES["succeeded"])
        assert (found["tasks_total"], found["tasks_completed"], found["retry_total"]) == (5, 1, 2)
        with as_tenant(db, B):
            assert one(db, "select count(*) from job_metrics") == 1

    def test_a_paused_job_stays_paused(self, empty_url: str) -> None:
        old = Old(extra=", paused_at timestamptz")
        execute(empty_url, old.sql + rows(old))
        execute(empty_url, "update public.jobs set paused_at = now() where status = 'running'")
        migrate(empty_url, adopt_old=True)
        query = "select count(*) from public.jobs where paused_at is not null"
        assert ask(empty_url, query) == [(2,)]
        assert findings(empty_url) == []

    def test_many_jobs_are_taken_in_several_statements(
        self, empty_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adopt, "_TAKE", "select jobsdb_before.take_jobs(2)")
        execute(empty_url, PLAIN.sql + rows(PLAIN))
        assert migrate(empty_url, adopt_old=True).taken.jobs == 6
        assert findings(empty_url) == []


class TestWhatHangsOnIt:
    @pytest.mark.parametrize(
        ("hostile", "named"),
        [
            ("create view public.report as select name from public.jobs", "view public.report"),
            (
                "create materialized view public.report as select * from public.job_metrics",
                "view public.report",
            ),
            (
                "create function public.my_jobs() returns setof public.jobs language sql as"
                " $$ select * from jobs $$",
                "function public.my_jobs()",
            ),
            (
                "create function public.n() returns bigint begin atomic"
                " select count(*) from public.job_tasks; end",
                "function public.n()",
            ),
            (
                "create policy by_job on public.kanban_cards using (exists (select from"
                " public.jobs as j where j.id = job_id))",
                "policy by_job on table public.kanban_cards",
            ),
            (
                "create table public.invoices (job_id uuid references public.jobs (id))",
                "constraint invoices_job_id_fkey on table public.invoices",
            ),
            (
                "alter table public.kanban_cards add source uuid references public.jobs (id)",
                "constraint kanban_cards_source_fkey on table public.kanban_cards",
            ),
            (
                "create table public.more_jobs () inherits (public.jobs)",
                "table public.more_jobs",
            ),
            (
                "create table public.t (n int default public.f()); ",
                "default value for column n of table public.t",
            ),
            (
                "create view public.report as select public.f() as f",
                "view public.report",
            ),
            ("delete from public.kanban_cards where job_id is null; alter table"
             " public.kanban_cards alter column job_id set not null", "public.kanban_cards.job_id"),
        ],
    )  # fmt: skip
    def test_it_is_named_and_refused_and_nothing_changes(
        self, empty_url: str, hostile: str, named: str
    ) -> None:
        execute(
            empty_url,
            PLAIN.sql
            + "create function public.tick() returns int language sql as 'select 1';"
            + hostile.replace("public.f()", "public.tick()"),
        )
        before = catalog(empty_url)
        refused = refusal(empty_url, adopt_old=True)
        assert (refused.code, refused.sqlstate) == (errors.Exit.REFUSED, "JB092")
        assert named in refused.detail
        assert catalog(empty_url) == before

    def test_a_view_on_task_ids_of_another_type_is_refused(self, empty_url: str) -> None:
        execute(empty_url, Old(ids="uuid").sql)
        execute(empty_url, "create view public.report as select task_id from public.kanban_cards")
        refused = refusal(empty_url, adopt_old=True)
        assert refused.code == errors.Exit.REFUSED
        assert "view public.report" in refused.detail

    def test_a_publication_goes_on_and_it_is_said(self, old_url: str) -> None:
        execute(old_url, "create publication everything for table public.jobs")
        assert any(
            "publication everything goes on publishing jobsdb_before.jobs" in note
            and "add table public.jobs" in note
            for note in notes_of(old_url)
        )
        published = "select schemaname || '.' || tablename from pg_publication_tables"
        assert ask(old_url, published) == [("jobsdb_before.jobs",)]
        assert findings(old_url) == []

    def test_a_type_the_host_uses_is_renamed_where_it_is(self, empty_url: str) -> None:
        old = Old(words="enum")
        execute(empty_url, old.sql + rows(old))
        execute(empty_url, "alter table public.agent_runs add outcome public.job_status")
        execute(empty_url, "update public.agent_runs set outcome = 'failed'")
        assert "type public.job_status is now public.job_status_before: other tables use it" in (
            notes_of(empty_url)
        )
        assert ask(empty_url, "select distinct outcome::text from agent_runs") == [("failed",)]
        assert findings(empty_url) == []

    def test_a_hosts_trigger_that_plans_tasks_goes_on(self, old_url: str) -> None:
        execute(
            old_url,
            "create function public.plan() returns trigger language plpgsql as $$ begin"
            " insert into job_tasks (job_id, step, kind) values (new.job_id, 77, 'research');"
            " return new; end $$;"
            "create trigger plan after insert on public.kanban_cards for each row"
            " when (new.title = 'plan') execute function public.plan()",
        )
        migrate(old_url, adopt_old=True)
        execute(
            old_url,
            "insert into public.kanban_cards (org_id, job_id, type, title, state, content) values"
            f" ('{A}', '{NAMES['running']}', 'note', 'plan', 'in_review', '{{}}')",
        )
        assert ask(old_url, "select kind from public.job_tasks where step = 77") == [("research",)]

    def test_functions_and_keys_that_go_on_are_named(self, old_url: str) -> None:
        execute(
            old_url,
            "create table public.orgs (id uuid primary key);"
            f"insert into public.orgs values ('{A}'), ('{B}');"
            "alter table public.jobs add foreign key (org_id) references public.orgs (id);"
            "create function public.count_jobs() returns bigint language sql as"
            " 'select count(*) from jobs'",
        )
        notes = "\n".join(notes_of(old_url))
        assert "act on the new ones from now on: public.count_jobs()" in notes
        assert "foreign key jobs_org_id_fkey of jobsdb_before.jobs goes on holding rows of" in notes
        assert ask(old_url, "select public.count_jobs()") == [(6,)]

    def test_functions_that_others_share_stay(self, old_url: str) -> None:
        execute(
            old_url,
            "create trigger stamp before update on public.agent_runs for each row"
            " when (false) execute function public.update_updated_at_column()",
        )
        migrate(old_url, adopt_old=True)
        assert ask(
            old_url, "select to_regprocedure('public.update_updated_at_column()') is not null"
        ) == [(True,)]


class TestTheWayBack:
    def test_the_old_world_is_as_it_was(self, empty_url: str, old: Old) -> None:
        execute(empty_url, old.sql + rows(old))
        before = shape(empty_url)
        old_rows, host_rows = ask(empty_url, OLD_ROWS.format("public")), ask(empty_url, HOST_ROWS)
        migrate(empty_url, adopt_old=True)
        assert shape(empty_url) != before
        go_back(empty_url)
        assert shape(empty_url) == before
        assert ask(empty_url, "select to_regnamespace('jobsdb_before')") == [(None,)]
        assert ask(empty_url, OLD_ROWS.format("public")) == old_rows
        # But for approvals, which a person has to give again.
        changed = {text for _, text in set(host_rows) - set(ask(empty_url, HOST_ROWS))}
        assert all('"state": "approved"' in text for text in changed)
        # And forth again.
        assert migrate(empty_url, adopt_old=True).taken.jobs == 6
        assert findings(empty_url) == []

    def test_it_leads_back_from_new_jobs_as_well(self, old_url: str) -> None:
        before = shape(old_url)
        migrate(old_url, adopt_old=True)
        with psycopg.connect(old_url) as conn:
            job = world.new_job(conn, UUID(A))
            world.new_card(conn, job, task=world.new_task(conn, job))
        go_back(old_url)
        assert shape(old_url) == before


class TestTraffic:
    def test_what_is_committed_is_taken_over_and_the_rest_waits(self, old_url: str) -> None:
        insert = (
            "insert into jobs (org_id, name) values ('aaaaaaaa-0000-4000-8000-000000000001', 'x')"
            " returning id"
        )
        made: list[UUID] = []
        failed: list[str] = []
        stop = threading.Event()

        def write() -> None:
            with psycopg.connect(old_url, autocommit=True) as conn:
                while not stop.is_set():
                    try:
                        job = conn.execute(insert).fetchone()[0]
                        conn.execute(
                            "insert into job_tasks (job_id, step, kind) values (%s, 1, 'research')",
                            [job],
                        )
                        made.append(job)
                    except psycopg.Error as error:
                        failed.append(f"{error.sqlstate} {error}")

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        try:
            time.sleep(0.3)
            migrate(old_url, adopt_old=True, lock_timeout=0.2)
            time.sleep(0.3)
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        # A job made before and its task after, or a statement planned before: never lost unseen.
        assert failed == []
        ids = {job for (job,) in ask(old_url, "select job_id from public.job_tasks where step = 1")}
        assert set(made) <= ids
        assert [f for f in findings(old_url) if "FAIL" in f] == []

    def test_a_lock_that_stays_leaves_everything_as_it_was(self, old_url: str) -> None:
        before = catalog(old_url)
        with psycopg.connect(old_url) as holder:
            holder.execute("update public.jobs set name = name")
            refused = refusal(old_url, adopt_old=True, wait=1, lock_timeout=0.2)
        assert refused.code == errors.Exit.LOCK
        assert catalog(old_url) == before

    def test_two_at_once_adopt_once(self, old_url: str) -> None:
        processes = [start("migrate", "--adopt", "-d", old_url) for _ in range(3)]
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0] * 3, outputs
        assert sum("Taken over: 6 jobs" in out for out, _ in outputs) == 1

    def test_kill_at_any_moment_leaves_before_or_after(
        self, server: Server, scale: float, seed: int
    ) -> None:
        dice = random.Random(seed)
        for _ in range(max(4, round(40 * scale))):
            with new_database(server) as url:
                self.kill_once(url, dice)

    def kill_once(self, url: str, dice: random.Random) -> None:
        execute(url, PLAIN.sql + rows(PLAIN))
        before = catalog(url), ask(url, OLD_ROWS.format("public")), ask(url, HOST_ROWS)
        process = start("migrate", "--adopt", "-d", url)
        backends = (
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and starts_with(application_name, 'jobsdb/')"
        )
        with psycopg.connect(url, autocommit=True) as conn:
            while process.poll() is None and not one(conn, backends):
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 0.6))
            process.kill()
            process.communicate()
            while one(conn, backends):
                time.sleep(0.01)
            is_adopted = one(conn, "select to_regnamespace('jobsdb_before') is not null")
        if not is_adopted:
            now = catalog(url), ask(url, OLD_ROWS.format("public")), ask(url, HOST_ROWS)
            assert now == before
        assert (migrate(url, adopt_old=True).taken is None) is is_adopted
        assert ask(url, "select count(*) from public.jobs") == [(6,)]
        assert findings(url) == []


class TestRehearsing:
    def test_it_tells_what_it_would_take_over_and_changes_nothing(
        self, empty_url: str, old: Old
    ) -> None:
        execute(empty_url, old.sql + rows(old))
        before = self.everything(empty_url)
        done = rehearsal.rehearse(empty_url, Options(adopt_old=True))
        assert self.everything(empty_url) == before
        assert done.taken == migrate(empty_url, adopt_old=True).taken
        assert done.taken.jobs > 0

    def everything(self, url: str) -> list[object]:
        """Catalog, rows and sequences."""
        sequences = "select to_jsonb(s)::text from pg_sequences as s order by 1"
        return [catalog(url), *(ask(url, q) for q in (OLD_ROWS.format("public"), HOST_ROWS)),
                ask(url, sequences)]  # fmt: skip

    def test_it_measures_how_long_the_old_tables_are_locked(self, old_url: str) -> None:
        found = json.loads(run("migrate", "--adopt", "--rehearse", "--json", "-d", old_url).stdout)
        held = {
            lock["table"]: lock["held_ms"]
            for lock in found["locks"]
            if lock["mode"] == "AccessExclusiveLock" and lock["file"] == "adopt/10_begin.sql"
        }
        tables = {f"public.{name}" for name in ("jobs", "job_tasks", "kanban_cards", "agent_runs")}
        assert held.keys() == tables
        assert 0 < min(held.values()) <= max(held.values()) <= found["seconds"] * 1000
        assert found["changed"] is False
        assert found["taken_over"]["jobs"] > 0

    def test_people_are_told_the_same(self, old_url: str) -> None:
        done = run("migrate", "--adopt", "--rehearse", "-d", old_url)
        assert done.returncode == errors.Exit.DONE, done.stderr
        assert re.search(r"^Taken over: \d+ jobs, \d+ tasks, .* runs\.$", done.stdout, re.MULTILINE)
        assert "Not taken over, or changed:\n" in done.stdout
        assert done.stdout.endswith("It was rolled back. Nothing was changed.\n")
        assert "way back" not in done.stderr

    def test_what_the_run_would_refuse_is_refused(self, old_url: str) -> None:
        with pytest.raises(errors.Refused, match="stands where jobsdb would put its own"):
            rehearsal.rehearse(old_url, Options())
        execute(old_url, "create schema jobsdb_before")
        with pytest.raises(errors.JobsdbError, match="schema jobsdb_before exists already"):
            rehearsal.rehearse(old_url, Options(adopt_old=True))


def test_the_command_says_what_it_did_and_how_to_return(old_url: str) -> None:
    execute(old_url, "update public.job_tasks set kind = 'dance' where step = 5")
    done = run("migrate", "--adopt", "-d", old_url)
    assert done.returncode == 0, done.stderr
    assert "Taken over: 6 jobs, 24 tasks, links of 27 cards and 6 runs." in done.stdout
    assert '"dance" is no kind of task (JB011)' in done.stdout
    assert "  + the old jobs system moves to jobsdb_before" in done.stderr
    assert adopt.WAY_BACK in done.stderr
    with suppress(psycopg.Error):
        assert ask(old_url, adopt.WAY_BACK)
