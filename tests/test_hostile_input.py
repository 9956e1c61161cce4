"""Whatever people and programs send is refused clearly or stored as inert text."""

import json
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

import world
from helpers import as_role, as_service, as_tenant, refused
from world import A, one, row

MIB = 1024 * 1024
INERT = [
    "'; drop table jobs; --",
    "Robert'); truncate jobs cascade; --",
    "$$; select pg_sleep(10); $$",
    "{{email}}",
    "{{first_name}} {% for x in y %}",
    "<script>alert(1)</script>",
    "%s %d %I %L %1$s %%",
    "%(job)s",
    "\\'; select 1; --",
    "E'\\x41'",
    'quoted "name"',
    "line\r\nBcc: everybody@example.com",
    "tab\tbell\adelete\x7f",
    "\u202egnirts desrever\u202c",
    "\U0001f4a3 \U0010ffff",
    "null",
    "NULL",
    "-1",
    "../../etc/passwd",
    "pg_temp.x",
    "public.jobs",
    "\uff41\uff44\uff4d\uff49\uff4e",
]


def nested(levels: int, kind: str = "array") -> str:
    """A JSON text of exactly so many containers, each around the next."""
    if kind == "array":
        return "[" * levels + "]" * levels
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def document_of(size: int, levels: int = 1) -> str:
    """A JSON object whose text, as PostgreSQL writes it, has exactly so many bytes."""
    frame = len('{"a": ""}')
    return '{"a": "' + "x" * (size - frame) + '"}'


# ------------------------------------------------------------------------------------ inert text


@pytest.mark.parametrize("text", INERT)
def test_text_stays_text_wherever_it_is_put(tx: psycopg.Connection, text: str) -> None:
    content = {"to": text, "subject": text, text: [text, {text: text}]}
    with as_tenant(tx, A):
        job = one(
            tx,
            "insert into jobs (name, description, params) values (%s, %s, %s) returning id",
            text,
            text,
            Jsonb({"target_group": text, "templates": {text: text}, text: text}),
        )
        tx.execute("select transition_job_status(%s, 'running')", [job])
        task = one(
            tx,
            "insert into job_tasks (job_id, step, kind, input) values (%s, 1, 'research', %s)"
            " returning id",
            job,
            Jsonb({"contact_ids": [text], text: text}),
        )
        tx.execute(
            "update job_tasks set status = 'error', error_message = %s, output = %s where id = %s",
            [text, Jsonb({text: text}), task],
        )
        card = one(
            tx,
            "insert into kanban_cards (job_id, task_id, type, title, state, content)"
            " values (%s, %s, %s, %s, %s, %s) returning id",
            job,
            task,
            text,
            text,
            text,
            Jsonb(content),
        )
        world.move_card(tx, card, "approved")
        tx.execute("update kanban_cards set title = title || 'x' where id = %s", [card])
        tx.execute("insert into agent_runs (job_id, status) values (%s, %s)", [job, text])
        tx.execute("update jobs set name = %s where id = %s", [text, job])
        tx.execute("select cancel_job(%s)", [job])
        found = row(tx, "select * from jobs where id = %s", job)
        assert (found["name"], found["description"]) == (text, text)
        (listed,) = world.rows(tx, "select * from get_job_cards(%s)", job)
        assert (listed["type"], listed["content"]) == (text, content)
        live = row(tx, "select * from job_metrics_live")
        assert live["cards_by_type"] == {text: {"in_review": 1}}
        assert {event["job_name"] for event in world.rows(tx, "select * from recent_job_activity")} == {text}  # fmt: skip # noqa: E501
    tx.execute("select refresh_job_metrics()")
    with as_tenant(tx, A):
        assert row(tx, "select name from job_metrics")["name"] == text


@pytest.mark.parametrize("text", INERT)
def test_text_that_is_no_word_of_ours_is_named_in_the_refusal(
    tx: psycopg.Connection, text: str
) -> None:
    job = world.new_job(tx)
    with as_tenant(tx, A):
        with refused(tx, "JB001", f'"{text}" is no job status'):
            tx.execute("select transition_job_status(%s, %s)", [job, text])
        with refused(tx, "JB011", f'"{text}" is no kind of task'):
            tx.execute("insert into job_tasks (job_id, step, kind) values (%s, 1, %s)", [job, text])
        with refused(tx, "JB011", "is no time"):
            tx.execute(
                "insert into job_tasks (job_id, step, kind, input) values (%s, 1, 'research', %s)",
                [job, Jsonb({"scheduled_for": text})],
            )
        with refused(tx, "22P02"):
            tx.execute("select cancel_job(%s::text::uuid)", [text])


def test_a_nul_is_refused_by_the_server(tx: psycopg.Connection) -> None:
    with as_tenant(tx, A):
        for text in ('{"a": "\\u0000"}', '{"\\u0000": 1}'):
            with refused(tx, "22P05"):
                tx.execute("insert into jobs (name, params) values ('x', %s)", [text])
        with refused(tx, "22021"):
            tx.execute("insert into jobs (name) values (convert_from('\\x610062', 'UTF8'))")
        with pytest.raises(psycopg.DataError, match="NUL"):
            tx.execute("insert into jobs (name) values (%s)", ["a\0b"])


# --------------------------------------------------------------------------------- names and params


@pytest.mark.parametrize("verb", ["insert", "update"])
def test_a_name_has_1_to_200_characters(tx: psycopg.Connection, verb: str) -> None:
    job = world.new_job(tx)

    def name(text: str | None) -> None:
        if verb == "insert":
            tx.execute("insert into jobs (name) values (%s)", [text])
        else:
            tx.execute("update jobs set name = %s where id = %s", [text, job])

    with as_tenant(tx, A):
        for text in ("x", "x" * 200, "ü" * 200, "\U0001f4a3" * 200, " x "):
            name(text)
        for text in ("x" * 201, "\U0001f4a3" * 201, "x" * 10_000_000):
            with refused(tx, "JB012", "the name of a job is too long") as info:
                name(text)
            assert f"It has {len(text)} characters" in (info.value.diag.message_detail or "")
        for text in ("", " ", "\n\t\r "):
            with refused(tx, "JB010", "cannot be used") as info:
                name(text)
            assert info.value.diag.message_detail == "name is blank."
        with refused(tx, "23502"):
            name(None)


def test_all_problems_of_params_are_told_at_once(tx: psycopg.Connection) -> None:
    params = {
        "review_mode": "yes",
        "batch_size": 0,
        "cadence": [],
        "templates": "x",
        "target_filter": 1,
        "target_group": {},
    }
    with as_tenant(tx, A), refused(tx, "JB010", "name or params cannot be used") as info:
        tx.execute("insert into jobs (name, params) values (' ', %s)", [Jsonb(params)])
    detail = info.value.diag.message_detail or ""
    for name in ("name", *params):
        assert name in detail


@pytest.mark.parametrize("size", [1, 5, 1000, 1e3])
def test_a_batch_size_is_a_whole_number_of_at_least_1(tx: psycopg.Connection, size: float) -> None:
    with as_tenant(tx, A):
        insert = "insert into jobs (name, params) values ('x', %s)"
        tx.execute(insert, [Jsonb({"batch_size": size})])
        for bad in (0, -1, 1.5, "5", None, [], True, 1e-300, -1e300):
            with refused(tx, "JB010") as info:
                tx.execute(insert, [Jsonb({"batch_size": bad})])
            assert "batch_size" in (info.value.diag.message_detail or ""), bad


def test_params_and_input_are_objects(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    task = world.new_task(tx, job)
    with as_tenant(tx, A):
        for document in ("[]", "1", '"x"', "null", "true", "[{}]"):
            with refused(tx, "JB010", "cannot be used") as info:
                tx.execute("insert into jobs (name, params) values ('x', %s)", [document])
            assert "params is not an object" in (info.value.diag.message_detail or "")
            with refused(tx, "JB010"):
                tx.execute("update jobs set params = %s where id = %s", [document, job])
            insert = (
                "insert into job_tasks (job_id, step, kind, input) values (%s, 9, 'research', %s)"
            )
            with refused(tx, "JB011", "must be a JSON object"):
                tx.execute(insert, [job, document])
            with refused(tx, "JB011", "must be a JSON object"):
                tx.execute("update job_tasks set input = %s where id = %s", [document, task])


# ---------------------------------------------------------------------------------- size and depth


def places(job: UUID, task: int) -> dict[str, tuple[str, tuple[object, ...]]]:
    """Every place a document can be put: statement and what comes before the document."""
    return {
        "params of a new job": ("insert into jobs (name, params) values ('x', %s)", ()),
        "params of a job": (f"update jobs set params = %s where id = '{job}'", ()),
        "input of a new task": (
            "insert into job_tasks (job_id, step, kind, input)"
            f" values ('{job}', 9, 'research', %s)",
            (),
        ),
        "input of a task": (f"update job_tasks set input = %s where id = {task}", ()),
        "output of a task": (f"update job_tasks set output = %s where id = {task}", ()),
        "output with its status": (
            f"update job_tasks set output = %s, status = 'done' where id = {task}",
            (),
        ),
    }


PLACES = list(places(world.UNKNOWN, 0))


@pytest.fixture
def statement(tx: psycopg.Connection, request: pytest.FixtureRequest) -> str:
    job = world.new_job(tx)
    return places(job, world.new_task(tx, job))[request.param][0]


each_place = pytest.mark.parametrize("statement", PLACES, indirect=True)


@each_place
def test_a_document_of_1_mib_is_stored_and_one_byte_more_is_refused(
    tx: psycopg.Connection, statement: str
) -> None:
    with as_tenant(tx, A):
        with tx.transaction(force_rollback=True):
            tx.execute(statement, [document_of(MIB)])
        for size in (MIB + 1, 2 * MIB):
            with refused(tx, "JB012", "is too large") as info:
                tx.execute(statement, [document_of(size)])
            detail = info.value.diag.message_detail or ""
            assert f"It has {size} bytes as text; at most 1048576" in detail
        with refused(tx, "JB012", "is too large"):
            tx.execute(statement, ['{"a": [' + "1," * MIB + "1]}"])


@each_place
def test_40_levels_are_stored_and_one_more_is_refused(
    tx: psycopg.Connection, statement: str
) -> None:
    with as_tenant(tx, A):
        for deep in (nested(40, "object"), '{"a":' + nested(39) + "}", '{"a":1,"b":' + nested(39) + "}"):  # fmt: skip # noqa: E501
            with tx.transaction(force_rollback=True):
                tx.execute(statement, [deep])
        for deep in (
            nested(41, "object"),
            '{"a":' + nested(40) + "}",
            '{"a":' + nested(40, "object") + "}",
            '{"a": {}, "b": [1, ' + nested(39) + "]}",
            '{"a":' + nested(5000) + "}",
            nested(5000, "object"),
        ):
            with refused(tx, "JB012", "is nested too deeply") as info:
                tx.execute(statement, [deep])
            assert "40 levels" in (info.value.diag.message_detail or "")


@each_place
def test_a_monster_is_refused_clearly(tx: psycopg.Connection, statement: str) -> None:
    with as_tenant(tx, A):
        tx.execute("set local statement_timeout = '20s'")
        with refused(tx, "JB012", "is too large"):
            tx.execute(statement, [document_of(32 * MIB)])
        with refused(tx, "54001", "stack depth limit exceeded"):
            tx.execute(statement, ['{"a":' + nested(1_000_000) + "}"])
        with refused(tx, "22P02"):
            tx.execute(statement, ['{"a":'])


def test_levels_are_counted_in_a_document_that_arrives_compressed(tx: psycopg.Connection) -> None:
    """What a table has stored compressed looks small, unless a plan made for it unpacks it."""
    tx.execute("set local plan_cache_mode = force_generic_plan")
    with as_tenant(tx, A):
        tx.execute("create temp table stored (filler text, document jsonb)")
        tx.execute("alter table stored alter column filler set storage plain")
        for levels in range(41, 120, 6):
            tx.execute(
                "insert into stored values (repeat('x', 1900), %s)",
                ['{"a":' + nested(levels) + "}"],
            )
        for size in (MIB + 1, 8 * MIB):
            tx.execute("insert into stored values (repeat('x', 1900), %s)", [document_of(size)])
        for place in world.column(tx, "select ctid::text from stored"):
            with refused(tx, "JB012"):
                tx.execute(
                    "insert into jobs (name, params) select 'x', document from stored"
                    " where ctid = %s::tid",
                    [place],
                )


def test_content_of_cards_is_the_hosts_business_whatever_its_size(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    with as_tenant(tx, A):
        card = one(
            tx,
            "insert into kanban_cards (job_id, type, content) values (%s, 'x', %s) returning id",
            job,
            '{"deep": ' + nested(1000) + ', "long": "' + "x" * 2 * MIB + '"}',
        )
        world.move_card(tx, card, "approved")
        tx.execute("update kanban_cards set content = '[]' where id = %s", [card])
        assert one(tx, "select state from kanban_cards where id = %s", card) == "in_review"


def test_numbers_out_of_range_are_refused_by_the_server(tx: psycopg.Connection) -> None:
    job = world.new_job(tx)
    task = world.new_task(tx, job)
    with as_tenant(tx, A):
        for name in ("step", "batch", "priority", "max_retries"):
            with refused(tx, "22003"):
                values = {"step": "1", "batch": "0", "priority": "0", "max_retries": "0"}
                values[name] = "2147483648"
                tx.execute(
                    f"insert into job_tasks (job_id, kind, {', '.join(values)})"
                    f" values (%s, 'research', {', '.join(values.values())})",
                    [job],
                )
        tx.execute("update job_tasks set retry_count = 2147483647 where id = %s", [task])
        with refused(tx, "22003"):
            tx.execute("update job_tasks set retry_count = retry_count + 1 where id = %s", [task])
        for extreme in (-2147483648, 2147483647):
            tx.execute(
                "insert into job_tasks (job_id, step, batch, kind) values (%s, %s, %s, 'research')",
                [job, extreme, extreme],
            )


# ------------------------------------------------------------------------------------------ claims


@pytest.mark.parametrize(
    "claims",
    [
        "not json",
        "{",
        '{"sub": "not a uuid"}',
        '{"sub": 42}',
        '{"sub": ["' + str(A) + '"]}',
        '{"sub": {"id": "' + str(A) + '"}}',
        '{"sub": "' + str(A) + " or true" + '"}',
        "[" * 1000 + "]" * 1000,
        '"' + str(A) + '"',
        "null",
        '{"sub": null}',
        '{"SUB": "' + str(A) + '"}',
        '{"user": {"sub": "' + str(A) + '"}}',
    ],
)
def test_claims_that_cannot_be_read_are_nobody_or_an_error(
    tx: psycopg.Connection, claims: str
) -> None:
    job = world.new_job(tx)
    card = world.new_card(tx, job)
    for role in ("authenticated", "service_role"):
        with as_role(tx, role, {}):
            tx.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            for attempt in (
                "update kanban_cards set state = 'approved' where id = %s",
                "update jobs set params = '{\"review_mode\": false}' where id = %s",
            ):
                target = card if "kanban" in attempt else job
                found = world.outcome(tx, attempt + " returning 1", [target], keep=True)
                assert found in ([], "JB003", "JB020", "22P02")
            if role == "authenticated":
                for relation in ("jobs", "job_metrics", "recent_job_activity"):
                    assert world.outcome(tx, f"select * from {relation}") in ([], "22P02")
    assert one(tx, "select state from kanban_cards where id = %s", card) == "in_review"


def test_the_older_claim_setting_is_read_first_as_elsewhere(tx: psycopg.Connection) -> None:
    world.new_job(tx, A)
    with as_role(tx, "authenticated", {"sub": str(world.B)}):
        tx.execute("select set_config('request.jwt.claim.sub', %s, true)", [str(A)])
        assert one(tx, "select auth.uid()") == A
        assert one(tx, "select count(*) from jobs") == 1
        tx.execute("select set_config('request.jwt.claim.sub', '', true)")
        assert one(tx, "select auth.uid()") == world.B


def test_many_claims_of_no_meaning_change_nothing(tx: psycopg.Connection) -> None:
    with as_tenant(tx, A, role="service_role", org_id=str(world.B), is_admin=True, noise="x" * MIB):
        assert world.rows(tx, "select * from jobs") == []
        with refused(tx, "42501"):
            tx.execute("select refresh_job_metrics()")


def test_settings_of_ours_can_be_written_by_anybody_and_open_nothing(
    tx: psycopg.Connection,
) -> None:
    """Custom settings belong to the session: counters must not depend on them."""
    job = world.new_job(tx)
    tasks = [world.new_task(tx, job) for _ in range(4)]
    for value in ("yes", "", "no", "yes"):
        with as_tenant(tx, A):
            tx.execute("select set_config('jobsdb.counted', %s, true)", [value])
            tx.execute("select set_config('jobsdb.runner', pg_current_xact_id()::text, true)")
            world.move_task(tx, tasks.pop(), "done")
    progress = row(tx, "select * from get_job_progress(%s)", job)
    assert (progress["tasks_done"], progress["pending"]) == (4, 0)
    with as_service(tx):
        tx.execute("select transition_job_status(%s, 'succeeded')", [job])
    assert json.loads(json.dumps(world.counters(tx, job))) == {"tasks_total": 4, "tasks_done": 4}
