"""The statements of the contract, as other people's code has them: unchanged, as ``authenticated``.

First as a session that has taken the role would send them; then as PostgREST does, with its own
JSON expansion, named arguments and returning lists.
"""

import json
import re
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

import world
from helpers import as_anon, as_service, as_tenant, refused
from world import A, B, column, one, row, rows

EXAMPLE_JOB = r"""
insert into jobs (org_id, name, description, params)
values (auth.uid(), 'Q4 AMC Follow-up Campaign', '…', jsonb_build_object('target_group','AMC',
  'target_filter', jsonb_build_object('state','FL','active',true),
  'cadence', jsonb_build_object('day0',true,'day4',true,'day10',true),
  'templates', jsonb_build_object('intro', 'Subject: …\nBody: Hello {{first_name}}…',
    'followup1', '…', 'followup2', '…'),
  'review_mode', true, 'batch_size', 10)) returning id;
"""
EXAMPLE_TASKS = """
insert into job_tasks (job_id, step, batch, kind, input) values
  ('<uuid>', 1, 0, 'draft_email', jsonb_build_object('target_type','contact_group',
    'contact_ids', array['uuid1','uuid2'], 'template','intro',
    'variables', jsonb_build_object('company_name','…'))),
  ('<uuid>', 2, 0, 'send_email', jsonb_build_object('wait_for_approval', true,
    'scheduled_for', now() + interval '1 hour'));
"""
EXAMPLE_CARD = """
insert into kanban_cards (org_id, job_id, task_id, type, title, state, content) values
  (auth.uid(), '<uuid>', 123, 'send_email', 'Email: … - Intro', 'in_review',
  jsonb_build_object('to','contact@example.com','subject','…','body','…'));
"""
EXAMPLE_BODY = """{"name":"Test Job","description":"First test job","params":{"target_group":"AMC",
"cadence":{"day0":true},"templates":{"intro":{"subject":"Hello {{first_name}}",
"body":"Test email"}},"review_mode":true,"batch_size":5}}"""
TABLES_PAGE = """
select table_name from information_schema.tables where table_schema='public'
and table_name in ('jobs','job_tasks','job_metrics')
"""
METRICS = (
    "job_id org_id tasks_total task_completion_rate cards_by_type approval_rate emails_drafted"
    " emails_sent task_seconds_p50 task_seconds_p95 refreshed_at"
)


def filled(statement: str, job: UUID, task: int | None = None) -> str:
    """The statement with its placeholders replaced as a reader of the guide would."""
    return statement.replace("123", str(task or 123)).replace("<uuid>", str(job))


@pytest.fixture
def job(tx: psycopg.Connection) -> UUID:
    """The example's job with its two tasks, running."""
    with as_tenant(tx, A):
        job = one(tx, EXAMPLE_JOB)
        tx.execute(filled(EXAMPLE_TASKS, job))
        tx.execute(filled("select transition_job_status('<uuid>', 'running');", job))
    return job


@pytest.fixture
def task(tx: psycopg.Connection, job: UUID) -> int:
    return one(tx, "select id from job_tasks where job_id = %s and step = 1", job)


# --------------------------------------------------------------------------------- the statements


def test_the_example_campaign_is_created_planned_and_started(
    tx: psycopg.Connection, job: UUID
) -> None:
    found = row(tx, "select * from jobs where id = %s", job)
    assert (found["org_id"], found["created_by"], found["status"]) == (A, A, "running")
    assert found["params"]["templates"]["intro"].startswith("Subject: …\\nBody:")
    tasks = rows(tx, "select * from job_tasks where job_id = %s order by step", job)
    assert [(task["org_id"], task["kind"], task["status"]) for task in tasks] == [
        (A, "draft_email", "pending"),
        (A, "send_email", "pending"),
    ]
    assert tasks[0]["input"]["contact_ids"] == ["uuid1", "uuid2"]
    assert tasks[1]["scheduled_for"] > one(tx, "select now() + interval '59 minutes'")
    assert world.counters(tx, job) == {"tasks_total": 2}


def test_cards_are_added_linked_listed_and_counted(
    tx: psycopg.Connection, job: UUID, task: int
) -> None:
    with as_tenant(tx, A):
        tx.execute(filled(EXAMPLE_CARD, job, task))
        card = one(
            tx, "insert into kanban_cards (org_id, type) values (auth.uid(), 'x') returning id"
        )
        link = f"update kanban_cards set job_id = '<uuid>', task_id = 123 where id = '{card}';"
        tx.execute(filled(link, job, task))
        cards = rows(tx, filled("select * from get_job_cards('<uuid>');", job))
        progress = row(tx, filled("select * from get_job_progress('<uuid>');", job))
    assert {(found["job_id"], found["task_id"]) for found in cards} == {(job, task)}
    assert {found["type"] for found in cards} == {"send_email", "x"}
    assert (progress["cards_total"], progress["cards_in_review"]) == (2, 2)
    assert (progress["pending"], progress["running"], progress["percent"]) == (2, 0, 0)


def test_a_task_fails_and_is_retried(tx: psycopg.Connection, job: UUID, task: int) -> None:
    with as_tenant(tx, A):
        tx.execute(
            filled(
                "update job_tasks set status='error', error_message='API timeout',"
                " retry_count = retry_count + 1, finished_at = now() where id = 123;",
                job,
                task,
            )
        )
        assert row(tx, "select * from get_job_progress(%s)", job)["tasks_error"] == 1
        tx.execute(
            filled(
                "update job_tasks set status='pending', started_at=null, finished_at=null"
                " where id = 123 and status='error';",
                job,
                task,
            )
        )
    found = row(tx, "select * from job_tasks where id = %s", task)
    assert (found["status"], found["retry_count"], found["finished_at"]) == ("pending", 1, None)
    assert found["error_message"] == "API timeout"
    tx.execute("set constraints all immediate")  # as at commit
    assert world.counters(tx, job) == {"tasks_total": 2}


def test_the_metrics_views_answer_the_example_queries(tx: psycopg.Connection, job: UUID) -> None:
    with as_tenant(tx, A), refused(tx, "42501", "permission denied"):
        tx.execute("select refresh_job_metrics();")
    with as_service(tx):
        assert one(tx, "select refresh_job_metrics();") == one(tx, "select now()")
    assert one(tx, "select refresh_job_metrics();"), "as owner, which is what pg_cron is"
    with as_tenant(tx, A):
        metrics = row(tx, filled("select * from job_metrics where job_id = '<uuid>';", job))
        summary = row(tx, "select * from job_performance_summary where org_id = auth.uid();")
        activity = rows(tx, "select * from recent_job_activity where org_id = auth.uid() limit 10;")
        by_org = rows(tx, "select * from get_job_metrics_for_org(org_id => auth.uid())")
    assert set(METRICS.split()) <= metrics.keys()
    assert (metrics["org_id"], metrics["tasks_total"], metrics["task_completion_rate"]) == (A, 2, 0)
    assert metrics["approval_rate"] is None
    assert by_org == [metrics]
    assert (summary["org_id"], summary["tasks_total"]) == (A, 2)
    assert activity[0]["job_id"] == job
    with as_tenant(tx, B):
        for query in (
            filled("select * from job_metrics where job_id = '<uuid>'", job),
            "select * from job_performance_summary",
            "select * from recent_job_activity",
        ):
            assert tx.execute(query).fetchall() == []


def test_cancelling_skips_the_open_tasks(tx: psycopg.Connection, job: UUID) -> None:
    with as_tenant(tx, A):
        tx.execute(filled("select cancel_job('<uuid>');", job))
        assert column(tx, "select status from job_tasks") == ["skipped", "skipped"]


def test_information_schema_lists_jobs_tasks_and_metrics(tx: psycopg.Connection) -> None:
    with as_tenant(tx, A):
        assert sorted(column(tx, TABLES_PAGE)) == ["job_metrics", "job_tasks", "jobs"]
    assert sorted(column(tx, TABLES_PAGE)) == ["job_metrics", "job_tasks", "jobs"]


def test_the_metrics_are_populated_at_install(tx: psycopg.Connection) -> None:
    assert one(tx, "select ispopulated from pg_matviews where schemaname = 'jobsdb'")
    with as_tenant(tx, A):
        assert rows(tx, "select * from job_metrics") == []


def test_the_columns_of_the_contract_exist_with_their_types(tx: psycopg.Connection) -> None:
    expected = {
        "jobs": "id:uuid org_id:uuid name:text description:text status:job_status params:jsonb"
        " paused_at:timestamptz created_by:uuid created_at:timestamptz updated_at:timestamptz"
        " started_at:timestamptz finished_at:timestamptz tasks_total:int4 tasks_done:int4"
        " tasks_error:int4 tasks_skipped:int4 cards_total:int4 cards_in_review:int4"
        " cards_approved:int4 cards_rejected:int4 cards_done:int4 cards_other:int4",
        "job_tasks": "id:int8 org_id:uuid job_id:uuid batch:int4 step:int4 kind:text"
        " status:task_status input:jsonb output:jsonb error_message:text retry_count:int4"
        " max_retries:int4 depends_on:_int4 scheduled_for:timestamptz priority:int4"
        " started_at:timestamptz finished_at:timestamptz lease_token:uuid"
        " lease_expires_at:timestamptz locked_by:text attempt:int4 pos:int8",
        "kanban_cards": "id:uuid org_id:uuid job_id:uuid task_id:int8 type:text title:text"
        " state:text content:jsonb created_at:timestamptz updated_at:timestamptz",
        "agent_runs": "id:uuid org_id:uuid job_id:uuid status:text started_at:timestamptz"
        " finished_at:timestamptz created_at:timestamptz",
    }
    for table, pairs in expected.items():
        found = column(
            tx,
            "select a.attname || ':' || t.typname from pg_attribute a join pg_type t"
            " on t.oid = a.atttypid where attrelid = %s::regclass and attnum > 0",
            table,
        )
        assert set(pairs.split()) <= set(found), table
    for name in ("job_status", "task_status"):
        shown = "select data_type from information_schema.columns where domain_name = %s limit 1"
        assert one(tx, shown, name) == "text"
    types = column(
        tx,
        "select typname from pg_type where typnamespace = 'public'::regnamespace"
        " and typrelid = 0 and typelem = 0",
    )
    assert sorted(types) == ["job_status", "task_status"]


def test_job_metrics_live_has_the_columns_of_job_metrics_and_is_never_stale(
    tx: psycopg.Connection, job: UUID
) -> None:
    assert world.columns_of(tx, "job_metrics") == world.columns_of(tx, "job_metrics_live")
    world.new_card(tx, job, "rejected")
    world.new_card(tx, job, "done")
    world.new_card(tx, job, "done")
    tx.execute("update job_tasks set status = 'done' where job_id = %s and step = 1", [job])
    with as_tenant(tx, A):
        live = row(tx, "select * from job_metrics_live where job_id = %s", job)
        stale = rows(tx, "select * from job_metrics where job_id = %s", job)
        assert float(live["task_completion_rate"]) == 0.5
        assert float(live["approval_rate"]) == 0.6667
        assert (live["emails_drafted"], live["emails_sent"]) == (3, 2)
        assert live["cards_by_type"] == {"send_email": {"rejected": 1, "done": 2}}
        assert stale == []
    tx.execute("select refresh_job_metrics()")
    with as_tenant(tx, A):
        assert row(tx, "select * from job_metrics where job_id = %s", job) == live


def test_finished_jobs_keep_their_metrics_and_late_changes_show_after_a_refresh(
    tx: psycopg.Connection, job: UUID
) -> None:
    card = world.new_card(tx, job, "approved")
    tx.execute("select cancel_job(%s)", [job])
    tx.execute("select refresh_job_metrics()")
    with as_tenant(tx, A):
        first = row(tx, "select * from job_metrics where job_id = %s", job)
        assert (first["status"], first["cards_approved"]) == ("cancelled", 1)
        world.move_card(tx, card, "done")
        tx.execute("update jobs set name = 'renamed' where id = %s", [job])
    tx.execute("select refresh_job_metrics()")
    with as_tenant(tx, A):
        later = row(tx, "select * from job_metrics where job_id = %s", job)
    assert (later["cards_done"], later["name"], later["emails_sent"]) == (1, "renamed", 1)


def test_the_summary_sums_counts_and_divides_sums(tx: psycopg.Connection) -> None:
    small, large = world.new_job(tx), world.new_job(tx)
    world.new_task(tx, small, "done")
    for status in ("done", "error", "skipped", "pending", "running"):
        world.new_task(tx, large, status)
    world.new_card(tx, small, "approved")
    for _ in range(3):
        world.new_card(tx, large, "rejected")
    tx.execute("select cancel_job(%s)", [large])
    tx.execute("select refresh_job_metrics()")
    with as_tenant(tx, A):
        found = row(tx, "select * from job_performance_summary")
    assert (found["jobs_total"], found["jobs_running"], found["jobs_cancelled"]) == (2, 1, 1)
    assert (found["tasks_total"], found["tasks_completed"], found["tasks_skipped"]) == (6, 2, 3)
    assert float(found["task_completion_rate"]) == 0.3333
    assert float(found["approval_rate"]) == 0.25


def test_one_session_refreshes_the_metrics_and_others_do_not_wait_for_it(url: str) -> None:
    with psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as second:
        before = one(second, "select refresh_job_metrics()")
        now = one(first, "select refresh_job_metrics()")
        second.execute("set statement_timeout = '3s'")
        assert one(second, "select refresh_job_metrics()") == before
        assert second.execute("select * from job_metrics").fetchall() == []
        first.commit()
        assert one(second, "select refreshed_at from jobsdb.metrics_refresh") == now


SETTINGS = {
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "bytea_output": "escape",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "Asia/Kathmandu",
    "array_nulls": "off",
    "default_toast_compression": "pglz",
    "plan_cache_mode": "force_generic_plan",
    "enable_indexscan": "off",
    "lock_timeout": "100ms",
    "xmloption": "document",
    "default_transaction_isolation": "serializable",
    "search_path": "pg_temp",
    "client_min_messages": "error",
    "plpgsql.extra_errors": "all",
}


def test_a_campaign_does_not_depend_on_the_settings_of_the_session(url: str) -> None:
    """Functions are compiled in the session that first calls them, under its settings."""
    failed = {}
    for setting, value_ in SETTINGS.items():
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("select set_config(%s, %s, false)", [setting, value_])
            try:
                play(conn)
            except (psycopg.Error, AssertionError) as error:
                failed[setting] = error
    assert failed == {}


def play(conn: psycopg.Connection) -> None:
    """A short campaign."""
    with as_tenant(conn, A):
        job = one(conn, "insert into jobs (name) values ('a campaign') returning id")
        conn.execute(
            "insert into job_tasks (job_id, step, kind, input) values"
            " (%s, 1, 'draft_email', '{}'), (%s, 2, 'send_email', %s)",
            [job, job, '{"scheduled_for": "2020-02-03T00:00:00Z"}'],
        )
        conn.execute("select transition_job_status(%s, 'running')", [job])
        conn.execute(
            "insert into kanban_cards (job_id, type, content) values (%s, 'x', %s)",
            [job, '{"to": "x"}'],
        )
        conn.execute("update kanban_cards set state = 'approved' where job_id = %s", [job])
        conn.execute("update job_tasks set status = 'done' where job_id = %s", [job])
        with refused(conn, "JB002", 'from "done" to "pending"'):
            conn.execute("update job_tasks set status = 'pending' where job_id = %s", [job])
        scheduled = "select scheduled_for = '2020-02-03T00:00:00Z' from job_tasks where job_id = %s"
        assert column(conn, scheduled + " and step = 2", job) == [True]
    with as_service(conn):
        conn.execute("update kanban_cards set state = 'done' where job_id = %s", [job])
    with conn.transaction():
        conn.execute("set transaction isolation level read committed")
        conn.execute("select public.transition_job_status(%s, 'succeeded')", [job])
        conn.execute("select public.refresh_job_metrics()")
    with as_tenant(conn, A):
        assert one(conn, "select cards_done from job_metrics where job_id = %s", job) == 1
    with conn.transaction():
        world.check_counters(conn)


# ------------------------------------------------------------------------------------ on conflict


def test_the_key_of_a_task_serves_on_conflict(tx: psycopg.Connection, job: UUID) -> None:
    add = "insert into job_tasks (job_id, batch, step, kind, input) values (%s, 0, 1, %s, %s) "
    with as_tenant(tx, A):
        with refused(tx, "23505", "duplicate key"):
            tx.execute(add, [job, "research", "{}"])
        nothing = add + "on conflict (job_id, batch, step) do nothing returning id"
        assert one(tx, nothing, job, "research", "{}") is None
        found = row(
            tx,
            add + "on conflict (job_id, batch, step) do update set input = excluded.input"
            " returning *",
            job,
            "research",
            '{"new": 1}',
        )
        assert (found["kind"], found["input"]) == ("draft_email", {"new": 1})
        several = (
            "insert into job_tasks (job_id, batch, step, kind)"
            " select %s, 0, n, 'research' from generate_series(1, 5) n"
            " on conflict (job_id, batch, step) do nothing returning step"
        )
        assert sorted(column(tx, several, job)) == [3, 4, 5]
    assert world.counters(tx, job) == {"tasks_total": 5}
    world.check_counters(tx)


# ------------------------------------------------------------------------------- as PostgREST does


def value(conn: psycopg.Connection, query: str, **values: object) -> Any:
    return conn.execute(query, values).fetchone()[0]


def insert_as_postgrest(
    conn: psycopg.Connection,
    table: str,
    payload: object,
    types: dict[str, str],
    *,
    on_conflict: str = "",
    many: bool | None = None,
) -> list[dict[str, object]]:
    """What PostgREST sends for POST with `Prefer: return=representation`."""
    many = isinstance(payload, list) if many is None else many
    names = sql.SQL(", ").join(map(sql.Identifier, types))
    defined = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    query = sql.SQL(
        "with pgrst_payload as (select %(body)s::json as json_data),"
        " pgrst_source as (insert into public.{table} ({names}) select {names} from pgrst_payload,"
        " lateral (select * from {function}(pgrst_payload.json_data) as _({defined})) pgrst_body"
        " {on_conflict} returning public.{table}.*)"
        " select coalesce(json_agg(_postgrest_t), '[]') as body"
        " from (select {table}.* from pgrst_source as {table}) as _postgrest_t"
    ).format(
        table=sql.Identifier(table),
        names=names,
        function=sql.SQL("json_to_recordset" if many else "json_to_record"),
        defined=sql.SQL(defined),
        on_conflict=sql.SQL(on_conflict),
    )
    return value(conn, query.as_string(), body=json.dumps(payload))


def update_as_postgrest(
    conn: psycopg.Connection, table: str, payload: object, types: dict[str, str], key: object
) -> list[dict[str, object]]:
    """What PostgREST sends for PATCH with a filter on id."""
    defined = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    changes = ", ".join(f'"{name}" = pgrst_body."{name}"' for name in types)
    return value(
        conn,
        "with pgrst_payload as (select %(body)s::json as json_data), pgrst_source as ("
        f'update "public"."{table}" set {changes} from (select * from pgrst_payload, lateral'
        f" (select * from json_to_record(pgrst_payload.json_data) as _({defined})) pgrst_body_)"
        f' pgrst_body where "public"."{table}"."id" = %(key)s returning "public"."{table}".*)'
        " select coalesce(json_agg(_postgrest_t), '[]') from (select * from pgrst_source)"
        " _postgrest_t",
        body=json.dumps(payload),
        key=key,
    )


def rpc(conn: psycopg.Connection, name: str, **arguments: object) -> object:
    """What PostgREST sends for POST rpc/<name>: named arguments from a JSON body."""
    types = {"job_id": "uuid", "org_id": "uuid", "new_status": "text"}
    defined = ", ".join(f'"{key}" {types[key]}' for key in arguments)
    named = ", ".join(f'"{key}" := pgrst_args."{key}"' for key in arguments)
    return value(
        conn,
        "with pgrst_payload as (select %(body)s::json as json_data), pgrst_source as ("
        f"select pgrst_call.* from (select * from json_to_record((select json_data from"
        f" pgrst_payload)) as _({defined})) pgrst_args, lateral"
        f' "public"."{name}"({named}) pgrst_call)'
        " select coalesce(json_agg(_postgrest_t), '[]') from (select * from pgrst_source)"
        " _postgrest_t",
        body=json.dumps(arguments, default=str),
    )


TASK_TYPES = {
    "job_id": "uuid",
    "step": "integer",
    "batch": "integer",
    "kind": "text",
    "input": "jsonb",
}


def test_postgrest_plays_a_campaign(tx: psycopg.Connection) -> None:
    with as_tenant(tx, A):
        body = json.loads(EXAMPLE_BODY)
        (job,) = insert_as_postgrest(
            tx, "jobs", body, {"name": "text", "description": "text", "params": "jsonb"}
        )
        assert (job["org_id"], job["status"]) == (str(A), "pending")
        assert job["params"] == body["params"]
    with as_tenant(tx, A):
        tasks = insert_as_postgrest(
            tx,
            "job_tasks",
            [
                {"job_id": job["id"], "step": n, "batch": 0, "kind": "draft_email", "input": {}}
                for n in (1, 2)
            ],
            TASK_TYPES,
        )
        assert [(task["org_id"], task["status"]) for task in tasks] == [(str(A), "pending")] * 2
    with as_tenant(tx, A):
        (started,) = rpc(tx, "transition_job_status", job_id=job["id"], new_status="running")
        assert started["status"] == "running"
    with as_tenant(tx, A):
        (card,) = insert_as_postgrest(
            tx,
            "kanban_cards",
            {"job_id": job["id"], "task_id": tasks[0]["id"], "type": "send_email", "title": "t",
             "state": "in_review", "content": {"to": "x"}},
            {"job_id": "uuid", "task_id": "bigint", "type": "text", "title": "text",
             "state": "text", "content": "jsonb"},
        )  # fmt: skip
    with as_tenant(tx, A):
        (card,) = update_as_postgrest(
            tx, "kanban_cards", {"state": "approved"}, {"state": "text"}, card["id"]
        )
        assert card["state"] == "approved"
    with as_tenant(tx, A):
        for number, task in enumerate(tasks):
            (ended,) = update_as_postgrest(
                tx,
                "job_tasks",
                {"status": "error" if number else "done", "error_message": None, "retry_count": 1},
                {"status": "public.task_status", "error_message": "text", "retry_count": "integer"},
                task["id"],
            )
            assert ended["finished_at"]
    with as_tenant(tx, A):
        assert [found["id"] for found in rpc(tx, "get_job_cards", job_id=job["id"])] == [card["id"]]
        (progress,) = rpc(tx, "get_job_progress", job_id=job["id"])
        assert (progress["tasks_done"], progress["tasks_error"], progress["percent"]) == (1, 1, 100)
    with as_tenant(tx, A):
        renamed = update_as_postgrest(
            tx, "jobs", {"name": "new", "status": "failed"},
            {"name": "text", "status": "public.job_status"}, job["id"],
        )  # fmt: skip
        assert (renamed[0]["name"], renamed[0]["status"]) == ("new", "failed")
        assert rpc(tx, "get_job_metrics_for_org", org_id=str(A)) == []


def test_postgrest_calls_every_function_by_argument_names(
    tx: psycopg.Connection, job: UUID
) -> None:
    with as_tenant(tx, A):
        for call in (
            "select * from transition_job_status(job_id => %s, new_status => 'running')",
            "select * from pause_job(job_id => %s)",
            "select * from resume_job(job_id => %s)",
            "select * from get_job_cards(job_id => %s)",
            "select * from get_job_progress(job_id => %s)",
            "select * from cancel_job(job_id => %s)",
        ):
            tx.execute(call, [job])
            name = re.search(r"from (\w+)\(", call)
            with refused(tx, "42883", "does not exist"):
                tx.execute(f"select * from {name and name[1]}(id => %s)", [job])
        for name in ("pause_job", "resume_job", "cancel_job"):
            with refused(tx, "JB020", "was not found or is not yours"):
                rpc(tx, name, job_id=world.UNKNOWN)
        assert rpc(tx, "get_job_cards", job_id=world.UNKNOWN) == []


def test_a_new_task_may_say_that_it_is_pending(tx: psycopg.Connection, job: UUID) -> None:
    """PostgREST names every key of the payload; the domain's name stands in the caller's SQL."""
    with as_tenant(tx, A):
        (task,) = insert_as_postgrest(
            tx,
            "job_tasks",
            [{"job_id": str(job), "step": 9, "kind": "research", "status": "pending"}],
            {
                "job_id": "uuid",
                "step": "integer",
                "kind": "text",
                "status": "public.task_status",
            },
        )
        assert task["status"] == "pending"
        with refused(tx, "JB002", 'a new task cannot be "done"'):
            insert_as_postgrest(
                tx,
                "job_tasks",
                {"job_id": str(job), "step": 10, "kind": "research", "status": "done"},
                {
                    "job_id": "uuid",
                    "step": "integer",
                    "kind": "text",
                    "status": "public.task_status",
                },
            )
        (job_row,) = insert_as_postgrest(
            tx,
            "jobs",
            {"name": "x", "status": "pending"},
            {"name": "text", "status": "public.job_status"},
        )
        assert job_row["status"] == "pending"


@pytest.mark.parametrize("resolution", ["ignore-duplicates", "merge-duplicates"])
def test_the_upsert_of_postgrest_works_on_the_key_of_tasks(
    tx: psycopg.Connection, job: UUID, resolution: str
) -> None:
    """Merging, it sets every column of the payload, the key's included, to what it was."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in TASK_TYPES)
    action = "do nothing" if resolution.startswith("ignore") else f"do update set {changes}"
    payload = [
        {"job_id": str(job), "step": n, "batch": 0, "kind": "draft_email", "input": {"n": n}}
        for n in (1, 3)
    ]
    with as_tenant(tx, A):
        found = insert_as_postgrest(
            tx,
            "job_tasks",
            payload,
            TASK_TYPES,
            on_conflict=f"on conflict (job_id, batch, step) {action}",
        )
        if action != "do nothing":
            with refused(tx, "JB002", "cannot change its place"):
                insert_as_postgrest(
                    tx,
                    "job_tasks",
                    [payload[0], {**payload[1], "kind": "research"}],
                    TASK_TYPES,
                    on_conflict=f"on conflict (job_id, batch, step) {action}",
                )
    assert len(found) == (1 if action == "do nothing" else 2)
    assert world.counters(tx, job) == {"tasks_total": 3}


def test_rows_are_inserted_by_the_shapes_other_clients_use(
    tx: psycopg.Connection, job: UUID
) -> None:
    with as_tenant(tx, A):
        added = rows(
            tx,
            "insert into job_tasks (job_id, step, kind, input, depends_on, priority, max_retries)"
            " select * from json_to_recordset(%s) as _(job_id uuid, step int, kind text,"
            " input jsonb, depends_on int[], priority int, max_retries int) returning *",
            json.dumps(
                [
                    {"job_id": str(job), "step": 5, "kind": "research", "input": {},
                     "depends_on": [1], "priority": 3, "max_retries": 1}
                ]
            ),
        )  # fmt: skip
        assert (added[0]["priority"], added[0]["depends_on"]) == (3, [1])


def test_anon_gets_nothing_the_same_way(tx: psycopg.Connection, job: UUID) -> None:
    with as_anon(tx):
        for attempt in (
            lambda: insert_as_postgrest(tx, "jobs", {"name": "x"}, {"name": "text"}),
            lambda: update_as_postgrest(tx, "jobs", {"name": "x"}, {"name": "text"}, job),
            lambda: rpc(tx, "cancel_job", job_id=str(job)),
            lambda: rpc(tx, "get_job_progress", job_id=str(job)),
        ):
            with refused(tx, "42501", "permission denied"):
                attempt()


def test_service_role_may_do_what_the_guide_shows_for_any_organisation(
    tx: psycopg.Connection,
) -> None:
    with as_service(tx):
        job = one(tx, "insert into jobs (org_id, name) values (%s, 'x') returning id", B)
        tx.execute("select transition_job_status(%s, 'running')", [job])
        task = row(
            tx,
            "insert into job_tasks (job_id, step, kind) values (%s, 1, 'research') returning *",
            job,
        )
        assert task["org_id"] == B
        tx.execute(
            "insert into kanban_cards (org_id, job_id, task_id, type) values (%s, %s, %s, 'x')",
            [B, job, task["id"]],
        )
        assert len(rows(tx, "select * from get_job_cards(%s)", job)) == 1
        with refused(tx, "23502", "org_id"):
            tx.execute("insert into jobs (name) values ('of nobody')")
