"""A tenant sees and changes its own organisation only, whatever it tries; nobody sees anything.

What there is to attack is read from the catalog, so a new table, view or function is attacked too.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

import world
from helpers import as_anon, as_role, as_service, as_tenant, new_database, refused
from jobsdb.local import Server
from world import UNKNOWN, UNKNOWN_TASK, A, B, outcome

SECRET = "the secret of A"
READABLE = {
    "public.jobs",
    "public.job_tasks",
    "public.kanban_cards",
    "public.agent_runs",
    "public.job_metrics",
    "public.job_metrics_live",
    "public.job_performance_summary",
    "public.recent_job_activity",
    "public.review_queue",
}
NUMBERS = (("id", "public.job_tasks"), ("id", "public.recent_job_activity"))
"""Columns that hold no uuid, though others of the name do."""
WRITABLE = {
    ("public.jobs", "insert"): "org_id name description params status",
    ("public.jobs", "update"): "name description params status",
    ("public.job_tasks", "insert"): (
        "org_id job_id batch step kind input depends_on priority max_retries scheduled_for status"
    ),
    ("public.job_tasks", "update"): (
        "job_id batch step kind input depends_on priority max_retries scheduled_for status"
        " output error_message retry_count started_at finished_at"
    ),
    ("public.kanban_cards", "insert"): "org_id job_id task_id type title state content",
    ("public.kanban_cards", "update"): "job_id task_id type title state content",
    ("public.agent_runs", "insert"): "org_id job_id status started_at finished_at",
    ("public.agent_runs", "update"): "job_id status started_at finished_at",
}
TENANT_FUNCTIONS = {
    "transition_job_status": ["job_id", "new_status"],
    "cancel_job": ["job_id"],
    "pause_job": ["job_id"],
    "resume_job": ["job_id"],
    "get_job_cards": ["job_id"],
    "get_job_progress": ["job_id"],
    "get_job_metrics_for_org": ["org_id"],
    "create_job": [],  # its one argument has no name
    "validate_job_params": ["params"],
    "explain_job_params": ["params"],
    "render_template": ["template", "variables", "escape"],
    "upsert_contacts": ["contacts", "org_id"],
    "preview_job": ["job_id", "n"],
    "dry_run_job": ["job_id"],
    "plan_next_batch": ["job_id"],
    "review_card": ["card_id", "decision", "reviewer", "expected_hash", "content", "comment"],
    "review_cards": ["card_ids", "expected_hashes", "decision", "reviewer", "comment"],
    "resolve_unknown": ["send_id", "decision", "reviewer"],
    "job_blockers": ["job_id"],
    "settle_job": ["job_id"],
    "erase_contact": ["org_id", "contact_key"],
    "export_contact": ["org_id", "contact_key"],
}
WITH_DEFAULTS = {
    "render_template",
    "upsert_contacts",
    "preview_job",
    "review_card",
    "review_cards",
    "resolve_unknown",
}
CLAIM = ["worker", "max_tasks", "kinds", "org_id", "lease", "run_id"]
WORKER_FUNCTIONS = {
    "claim_tasks": CLAIM,
    "complete_tasks": ["task_ids", "lease_token", "outputs"],
    "complete_and_claim": ["task_ids", "lease_token", "outputs", *CLAIM],
    "heartbeat_tasks": ["task_ids", "lease_token", "lease"],
    "fail_tasks": ["task_ids", "lease_token", "errors", "retry"],
    "release_tasks": ["task_ids", "lease_token"],
    "assert_lease": ["task_id", "lease_token"],
    "retry_job": ["job_id"],
    "tick": [],
    "refresh_job_metrics": [],
    "claim_planning": ["worker", "org_id"],
    "draft_cards": ["task_id", "lease_token"],
    "record_usage": ["job_id", "cost", "tokens_in", "tokens_out"],
    "claim_sends": ["worker", "max_sends", "org_id", "lease"],
    "begin_send": ["send_id", "lease_token", "knows_repeats", "lease"],
    "settle_send": [
        "send_id",
        "lease_token",
        "outcome",
        "provider",
        "provider_message_id",
        "reason",
    ],
    "record_send_event": [
        "provider",
        "provider_event_id",
        "event",
        "provider_message_id",
        "send_id",
        "happened_at",
        "detail",
    ],
}

Persona = Callable[[psycopg.Connection], AbstractContextManager[None]]
STRANGERS: dict[str, Persona] = {
    "another tenant": lambda conn: as_tenant(conn, B),
    "a user without sub": world.as_nobody,
    "a user with an empty sub": lambda conn: as_role(conn, "authenticated", {"sub": ""}),
    "a user without claims": lambda conn: as_role(conn, "authenticated", {}),
    "a user with a malformed sub": world.as_malformed,
    "a user who says he is of A": lambda conn: as_tenant(
        conn, B, org_id=str(A), user_metadata={"org_id": str(A)}, app_metadata={"org_id": str(A)}
    ),
    "somebody not signed in": as_anon,
}
strangers = pytest.mark.parametrize("who", STRANGERS.values(), ids=STRANGERS.keys())
NOTHING = ("42501", "22P02")  # no privilege, or claims that cannot be read


@dataclass(frozen=True)
class Victim:
    """What A owns."""

    job: UUID
    finished_job: UUID
    task: int
    card: UUID
    run: UUID
    unlinked: UUID
    campaign: UUID
    waiting: UUID
    unknown_send: int


def campaign_of(org: UUID, word: str) -> Jsonb:
    """What create_job makes a campaign of; as idempotency key it has the word."""
    params = {
        "target_group": word,
        "cadence": {"day0": True, "day4": True},
        "templates": {"intro": {"subject": word, "body": "{{note}}"}},
    }
    return Jsonb({"name": word, "params": params, "org_id": str(org), "idempotency_key": word})


def plant_campaign(conn: psycopg.Connection, org: UUID, word: str) -> tuple[UUID, UUID, int]:
    """A campaign with a row in every table of campaigns: its job, a waiting card, an unknown send.

    The word is in every text there is.
    """
    people = [
        {
            "contact_key": f"contact {number}",
            "email": f"{number}@secret.example",
            "groups": [word],
            "attributes": {"note": word},
        }
        for number in range(3)
    ]
    # No id that other numbers of an error text are mistaken for.
    conn.execute("alter table jobsdb.sends alter id restart with 700001")
    conn.execute("select upsert_contacts(%s, %s)", [Jsonb(people), org])
    job = world.one(conn, "select id from create_job(%s)", campaign_of(org, word))
    world.move_job(conn, job, "running")
    draft = "select id, lease_token from claim_tasks('agent', 1, '{draft_email}')"
    conn.execute("select draft_cards(%s, %s)", conn.execute(draft).fetchone())
    cards = world.column(
        conn, "select id from kanban_cards where job_id = %s order by content ->> 'to'", job
    )
    for card in cards[:2]:
        world.move_card(conn, card, "approved")
    sends = world.rows(conn, "select * from claim_sends('w', 10)")
    sent, lost = [send for send in sends if send["job_id"] == job]
    for send in sent, lost:
        conn.execute("select begin_send(%s, %s)", [send["id"], send["lease_token"]])
    conn.execute(
        "select settle_send(%s, %s, 'sent', 'provider', %s)",
        [sent["id"], sent["lease_token"], word],
    )
    conn.execute(
        "update jobsdb.sends set lease_expires_at = now() - interval '1 s' where id = %s",
        [lost["id"]],
    )
    conn.execute("select jobsdb.rescue_sends()")
    conn.execute(
        "select record_send_event('provider', 'e1', 'complaint', null, %s, null, %s)",
        [sent["id"], Jsonb({"note": word})],
    )
    conn.execute("select record_usage(%s, 1, 1, 1)", [job])
    conn.execute("select jobsdb.limit_sends(%s, 1000, '1 hour', 'mailbox', %s)", [org, word])
    conn.execute(
        "insert into jobsdb.due_contacts (job_id, org_id, contact_key, due_at)"
        " values (%s, %s, %s, now() + interval '1 day')",
        [job, org, word],
    )
    return job, cards[2], lost["id"]


@pytest.fixture(scope="module")
def victim_and_connection(
    server: Server, template: str
) -> Iterator[tuple[Victim, psycopg.Connection]]:
    with (
        new_database(server, template) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        job = world.new_job(conn, A, "running", SECRET, description=SECRET)
        for status in ("done", "error", "skipped", "running", "pending"):
            task = world.new_task(conn, job, status)
        conn.execute("update job_tasks set input = %s", [Jsonb({"note": SECRET})])
        for state in (*world.WAY_OF_A_CARD, "todo"):
            card = world.new_card(conn, job, state, task=task, subject=SECRET)
        unlinked = world.new_card(conn, None, subject=SECRET)
        run = world.one(
            conn,
            "insert into agent_runs (org_id, job_id, status) values (%s, %s, %s) returning id",
            A,
            job,
            SECRET,
        )
        finished = world.new_job(conn, A, "failed", SECRET)
        campaign = plant_campaign(conn, A, SECRET)
        conn.execute("select jobsdb.add_org_member(%s, %s)", [A, A])
        conn.execute("select refresh_job_metrics()")
        world.new_task(conn, world.new_job(conn, B, "running", "the job of B"))
        conn.execute("analyze")
        yield Victim(job, finished, task, card, run, unlinked, *campaign), conn


@pytest.fixture
def victim(victim_and_connection: tuple[Victim, psycopg.Connection]) -> Victim:
    return victim_and_connection[0]


@pytest.fixture
def tx(victim_and_connection: tuple[Victim, psycopg.Connection]) -> Iterator[psycopg.Connection]:
    """A connection in a transaction that is rolled back."""
    conn = victim_and_connection[1]
    with conn.transaction(force_rollback=True):
        yield conn


def relations(conn: psycopg.Connection, kinds: str = "rpvmf") -> list[str]:
    """Everything of ours that can stand in FROM."""
    return world.column(
        conn,
        "select format('%%s.%%s', n.nspname, c.relname) from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('public', 'jobsdb') and c.relkind = any (%s::char[]) order by 1",
        list(kinds),
    )


def columns(conn: psycopg.Connection, relation: str) -> list[str]:
    return world.column(
        conn,
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
        " and not attisdropped order by attnum",
        relation,
    )


def functions(conn: psycopg.Connection, schema: str) -> list[tuple[str, list[str], list[str]]]:
    """Name, argument names and argument types of every function of ours in a schema."""
    return conn.execute(
        "select p.proname, coalesce(p.proargnames[1:p.pronargs], '{}'),"
        " array(select format_type(t, null) from unnest(p.proargtypes) t)"
        " from pg_proc p where p.pronamespace = %s::regnamespace order by 1",
        [schema],
    ).fetchall()


def refusal(conn: psycopg.Connection, query: str, values: object = ()) -> dict[str, Any]:
    """Everything an error says to its caller, with the ids of the request replaced."""
    with pytest.raises(psycopg.Error) as info, conn.transaction(force_rollback=True):
        conn.execute(query, values)
    diag = info.value.diag
    told = {
        name: getattr(diag, name)
        for name in (
            "sqlstate",
            "message_primary",
            "message_detail",
            "message_hint",
            "context",
            "schema_name",
            "table_name",
            "column_name",
            "constraint_name",
        )
    }
    # Expressions are named only while they are being planned: that tells of a cache, not of a row.
    if told["context"]:
        told["context"] = re.sub(
            r"^(PL/pgSQL|SQL) expression .*\n", "", told["context"], flags=re.M
        )
    for value in sorted(map(str, values), key=len, reverse=True):
        told = {key: text and text.replace(value, "<id>") for key, text in told.items()}
    return told


# ------------------------------------------------------------------------------------- reading


def test_the_relations_tenants_may_read_are_these(tx: psycopg.Connection) -> None:
    public = {name for name in relations(tx) if name.startswith("public.")}
    assert public == READABLE


def test_every_readable_relation_holds_something_of_the_victim(tx: psycopg.Connection) -> None:
    """Else the tests below would prove nothing."""
    for relation in READABLE:
        assert world.one(tx, f"select count(*) from {relation} where org_id = %s", A), relation


@strangers
def test_no_relation_shows_anything_of_another_tenant(tx: psycopg.Connection, who: Persona) -> None:
    with who(tx):
        for relation in relations(tx):
            found = outcome(tx, f"select r::text from {relation} as r")
            if relation in READABLE and isinstance(found, list):
                told = str(found)
                assert SECRET not in told, relation
                assert str(A) not in told, relation
            elif relation in READABLE:
                assert found in NOTHING, relation
            else:
                assert found == "42501", relation


OF_CAMPAIGNS = {
    "contacts",
    "suppressions",
    "job_keys",
    "job_contacts",
    "due_contacts",
    "planned_jobs",
    "job_usage",
    "waiting_cards",
    "sends",
    "send_events",
    "rate_limits",
}


def test_every_private_table_of_campaigns_holds_something_of_the_victim(
    tx: psycopg.Connection,
) -> None:
    """Else the test below would prove nothing of them."""
    for table in OF_CAMPAIGNS:
        assert world.one(tx, f"select count(*) from jobsdb.{table} where org_id = %s", A), table


@strangers
def test_who_could_name_the_private_tables_would_still_see_and_plant_nothing(
    tx: psycopg.Connection, who: Persona
) -> None:
    """The second wall: row-level security stands where the schema and the grants do not."""
    tx.execute("insert into jobsdb.contact_source values (true, 'x', 'x', 'x', 'x')")
    owned = {
        relation: columns(tx, relation)
        for relation in relations(tx, "rp")
        if relation.startswith("jobsdb.")
    }
    assert {f"jobsdb.{name}" for name in OF_CAMPAIGNS} | {"jobsdb.contact_source"} <= set(owned)
    tx.execute("grant usage on schema jobsdb to public")
    tx.execute("grant all on all tables in schema jobsdb to public")
    tx.execute("grant all on all sequences in schema jobsdb to public")
    with who(tx):
        for relation, names in owned.items():
            found = outcome(tx, f"select r::text from {relation} as r")
            assert isinstance(found, list) or found in NOTHING, relation
            assert SECRET not in str(found), relation
            assert str(A) not in str(found), relation
            if "org_id" not in names:
                assert found in ([], *NOTHING), relation
                continue
            planted = f"insert into {relation} (org_id) values (%s)"
            assert outcome(tx, planted, [A]) in NOTHING, relation
            for change in (f"update {relation} set org_id = org_id", f"delete from {relation}"):
                changed = outcome(tx, f"{change} where org_id = %s returning 1", [A])
                assert changed in ([], *NOTHING), change


@strangers
def test_no_relation_can_be_asked_for_the_organisation_of_another_tenant(
    tx: psycopg.Connection, victim: Victim, who: Persona
) -> None:
    with who(tx):
        for relation in READABLE:
            found = outcome(tx, f"select * from {relation} where org_id = %s", [A])
            assert found in ([], *NOTHING), relation
            for key in ("id", "job_id"):
                if key in columns(tx, relation) and (key, relation) not in NUMBERS:
                    found = outcome(tx, f"select * from {relation} where {key} = %s", [victim.job])
                    assert found in ([], *NOTHING), relation


def test_somebody_not_signed_in_has_no_privilege_on_anything(tx: psycopg.Connection) -> None:
    with as_anon(tx, sub=str(A)):
        for relation in relations(tx):
            assert outcome(tx, f"select from {relation}") == "42501", relation
        for name, _, types in functions(tx, "public"):
            call = f"select public.{name}({', '.join(f'null::{t}' for t in types)})"
            assert outcome(tx, call) == "42501", name


def test_a_user_without_sub_sees_nothing_and_creates_nothing(tx: psycopg.Connection) -> None:
    with world.as_nobody(tx):
        for relation in READABLE:
            assert outcome(tx, f"select * from {relation}") == [], relation
        for org in ("default", f"'{A}'", "null"):
            with refused(tx, "42501", "row-level security"):
                tx.execute(f"insert into jobs (org_id, name) values ({org}, 'x')")


def test_malformed_claims_are_an_error_and_never_a_way_in(tx: psycopg.Connection) -> None:
    for claims in ("garbage", "[]", '"x"', '{"sub": 1}', '{"sub": {}}', '{"sub": "1 or 1=1"}'):
        with tx.transaction(force_rollback=True):
            tx.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            tx.execute("set local role authenticated")
            for relation in READABLE:
                assert outcome(tx, f"select * from {relation}") in ([], "22P02"), relation
            assert outcome(tx, "insert into jobs (name) values ('x')") in NOTHING


def test_a_function_in_where_never_sees_rows_of_others(tx: psycopg.Connection) -> None:
    """A cheap function runs before expensive conditions, but not before row-level security."""
    told: list[str] = []
    tx.add_notice_handler(lambda diag: told.append(diag.message_primary or ""))
    with as_tenant(tx, B):
        tx.execute(
            "create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001"
            " as $$ begin raise notice '%', $1; return true; end $$"
        )
        for relation in READABLE:
            tx.execute(f"select from {relation} as r where pg_temp.leak(r::text)")
    assert told
    assert SECRET not in str(told)
    assert str(A) not in str(told)


def test_copy_to_gives_own_rows_only_and_copy_from_is_refused(tx: psycopg.Connection) -> None:
    with as_tenant(tx, B):
        for relation in relations(tx, "rp"):
            if relation in READABLE:
                with tx.cursor().copy(f"copy {relation} to stdout") as copy:
                    told = b"".join(copy).decode()
                assert SECRET not in told, relation
                assert str(A) not in told, relation
            else:
                assert outcome(tx, f"copy {relation} to stdout") == "42501", relation
            assert outcome(tx, f"copy {relation} from stdin") in ("42501", "0A000"), relation
        for server_side in ("program 'id'", "'/etc/passwd'"):
            assert outcome(tx, f"copy jobs to {server_side}") == "42501"


def test_planner_statistics_show_no_values_of_others(tx: psycopg.Connection) -> None:
    for persona in (as_tenant(tx, B), as_service(tx), as_anon(tx)):
        with persona:
            for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
                told = outcome(
                    tx, f"select s::text from {view} s where schemaname in ('public', 'jobsdb')"
                )
                assert told == [], view
            for table in ("pg_statistic", "pg_statistic_ext_data"):
                assert outcome(tx, f"select from pg_catalog.{table}") == "42501"


def test_row_security_cannot_be_switched_off(tx: psycopg.Connection) -> None:
    with as_tenant(tx, B):
        tx.execute("set local row_security = off")
        for relation in ("jobs", "job_tasks", "kanban_cards", "agent_runs", "review_queue"):
            with refused(tx, "42501", "row-level security"):
                tx.execute(f"select * from {relation}")


def test_selecting_for_update_locks_no_row_of_others(
    tx: psycopg.Connection, victim_and_connection: tuple[Victim, psycopg.Connection]
) -> None:
    with (
        psycopg.connect(tx.info.dsn, host=tx.info.host, port=tx.info.port) as other,
        as_tenant(tx, B),
    ):
        for table in ("jobs", "job_tasks", "kanban_cards"):
            tx.execute(f"select * from {table} for update")
            free = world.one(
                other,
                f"select count(*) from (select from public.{table} where org_id = %s"
                " for update skip locked) t",
                A,
            )
            assert free == world.one(
                other, f"select count(*) from public.{table} where org_id = %s", A
            )


# ------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("verb", ["insert", "update"])
def test_tenants_write_these_columns_and_no_other(tx: psycopg.Connection, verb: str) -> None:
    granted = world.rows(
        tx,
        "select format('%%s.%%s', table_schema, table_name) as relation, column_name"
        " from information_schema.column_privileges"
        " where grantee in ('authenticated', 'PUBLIC') and privilege_type = upper(%s)"
        " and table_schema in ('public', 'jobsdb')",
        verb,
    )
    allowed = {
        (relation, name)
        for (relation, its_verb), names in WRITABLE.items()
        if its_verb == verb
        for name in names.split()
    }
    assert {(found["relation"], found["column_name"]) for found in granted} == allowed


def test_nobody_but_the_owner_has_more_than_these_privileges_on_whole_relations(
    tx: psycopg.Connection,
) -> None:
    found = tx.execute(
        "select format('%s.%s', n.nspname, c.relname), coalesce(r.rolname, 'PUBLIC'),"
        " array_agg(a.privilege_type order by a.privilege_type)"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace,"
        " aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee"
        " where n.nspname in ('public', 'jobsdb') and a.grantee <> c.relowner group by 1, 2"
    ).fetchall()
    more = [
        (relation, role, privileges)
        for relation, role, privileges in found
        if not (
            (role == "authenticated" and privileges == ["SELECT"])
            or (role == "service_role" and privileges in (["SELECT"], ["DELETE", "SELECT"]))
        )
    ]
    assert more == []
    readable = {relation for relation, role, _ in found if role == "authenticated"}
    assert {name for name in readable if name.startswith("public.")} == READABLE


@strangers
def test_no_row_of_another_tenant_can_be_updated_or_deleted(
    tx: psycopg.Connection, who: Persona
) -> None:
    every = {relation: columns(tx, relation) for relation in relations(tx)}
    with who(tx):
        for relation, names in every.items():
            for name in names:
                tried = sql.SQL("update {} set {c} = {c} where true returning 1").format(
                    sql.SQL(relation), c=sql.Identifier(name)
                )
                found = outcome(tx, tried.as_string())
                if name not in WRITABLE.get((relation, "update"), "").split():
                    assert found in ("42501", "428C9", "55000"), (relation, name)
                elif isinstance(found, list):
                    own = world.one(tx, f"select count(*) from {relation}")
                    assert len(found) == own, (relation, name)
                else:
                    assert found in NOTHING, (relation, name)
            assert outcome(tx, f"delete from {relation}") in ("42501", "55000"), relation


@strangers
def test_no_row_can_be_planted_in_another_organisation(
    tx: psycopg.Connection, victim: Victim, who: Persona
) -> None:
    owned = [relation for relation in relations(tx) if "org_id" in columns(tx, relation)]
    with who(tx):
        for relation in owned:
            tried = sql.SQL("insert into {} (org_id) values (%s)").format(sql.SQL(relation))
            if relation not in READABLE:
                assert outcome(tx, tried.as_string(), [A]) == "42501", relation
            elif (relation, "insert") not in WRITABLE:  # a view that nothing can be written to
                assert outcome(tx, tried.as_string(), [A]) == "55000", relation
        attempts = {
            "insert into jobs (org_id, name) values (%(org)s, 'x')": NOTHING,
            "insert into job_tasks (org_id, job_id, step, kind)"
            " values (%(org)s, %(job)s, 99, 'research')": ("JB020", *NOTHING),
            "insert into kanban_cards (org_id, type, content) values (%(org)s, 'x', '{}')": NOTHING,
            "insert into kanban_cards (org_id, job_id, type) values (%(org)s, %(job)s, 'x')": (
                "JB020",
                *NOTHING,
            ),
            "insert into kanban_cards (org_id, task_id, type) values (%(org)s, %(task)s, 'x')": (
                "JB020",
                *NOTHING,
            ),
            "insert into agent_runs (org_id, status) values (%(org)s, 'x')": NOTHING,
            "insert into agent_runs (org_id, job_id) values (%(org)s, %(job)s)": (
                "JB020",
                *NOTHING,
            ),
        }
        for attempt, codes in attempts.items():
            values = {"org": A, "job": victim.job, "task": victim.task}
            assert outcome(tx, attempt, values) in codes, attempt


def test_own_rows_cannot_be_moved_into_another_organisation(
    tx: psycopg.Connection, victim: Victim
) -> None:
    own = world.new_job(tx, B)
    world.new_task(tx, own)
    world.new_card(tx, own, org=B)
    with as_tenant(tx, B):
        for table in ("jobs", "job_tasks", "kanban_cards", "agent_runs"):
            with refused(tx, "42501", "permission denied"):
                tx.execute(f"update {table} set org_id = %s", [A])
        with refused(tx, "JB002", "cannot change its place"):
            tx.execute("update job_tasks set job_id = %s", [victim.job])
        with refused(tx, "JB020", f'job "{victim.job}" was not found or is not yours'):
            tx.execute("update kanban_cards set job_id = %s", [victim.job])


def test_the_organisation_of_a_job_never_changes_not_even_for_the_owner(
    tx: psycopg.Connection, victim: Victim
) -> None:
    with refused(tx, "JB001", "cannot change its id or organisation"):
        tx.execute("update jobs set org_id = %s where id = %s", [B, victim.job])
    with refused(tx, "JB002", "cannot change its place"):
        tx.execute("update job_tasks set org_id = %s where id = %s", [B, victim.task])


@strangers
def test_tables_cannot_be_emptied_locked_or_used_as_a_target(
    tx: psycopg.Connection, who: Persona
) -> None:
    modes = ("row share", "row exclusive", "share", "exclusive", "access exclusive")
    tables, views = relations(tx, "rp"), relations(tx, "v")
    with who(tx):
        for relation in tables + views:
            if relation in tables:
                assert outcome(tx, f"truncate {relation} cascade") == "42501", relation
                assert outcome(
                    tx,
                    "create function pg_temp.evil() returns trigger language plpgsql as"
                    " $$ begin return new; end $$;"
                    f" create trigger evil before update on {relation}"
                    " for each row execute function pg_temp.evil()",
                ) in ("42501", "42601"), relation
                for change in (
                    "alter table {} disable row level security",
                    "alter table {} disable trigger all",
                    "alter table {} owner to current_user",
                    "drop table {} cascade",
                    "create index on {} ((true))",
                    "create policy p on {} using (true)",
                    "create rule r as on select to {} do instead nothing",
                    "comment on table {} is 'x'",
                    "create temp table child () inherits ({})",
                    "grant all on {} to public",
                ):
                    found = outcome(tx, change.format(relation))
                    assert found == "42501" or (found == [] and "grant" in change), change
            for mode in modes:
                assert outcome(tx, f"lock table {relation} in {mode} mode") == "42501", relation
        assert outcome(tx, "set session_replication_role = replica") == "42501"


def test_a_tenant_locks_no_table_in_a_mode_that_stops_writers(tx: psycopg.Connection) -> None:
    """ACCESS SHARE is what every SELECT takes."""
    with as_tenant(tx, B):
        assert outcome(tx, "lock table jobs in access share mode") == []
        assert outcome(tx, "lock table jobs in access exclusive mode") == "42501"


@strangers
def test_sequences_can_be_neither_read_nor_moved(tx: psycopg.Connection, who: Persona) -> None:
    sequences = relations(tx, "S")
    assert "public.job_tasks_id_seq" in sequences
    with who(tx):
        for name in sequences:
            for attempt in (
                f"select last_value from {name}",
                f"select nextval('{name}')",
                f"select setval('{name}', 1)",
                f"select currval('{name}')",
                f"alter sequence {name} restart",
            ):
                assert outcome(tx, attempt) == "42501", attempt
        assert outcome(
            tx,
            "select last_value from pg_sequences where schemaname in ('public', 'jobsdb')"
            " and last_value is not null",
        ) == []  # fmt: skip


@strangers
def test_nothing_can_be_created_in_our_schemas(tx: psycopg.Connection, who: Persona) -> None:
    with who(tx):
        for schema in ("jobsdb", "public", "auth"):
            for attempt in (
                "create table {}.t ()",
                "create view {}.v as select 1",
                "create function {}.cancel_job(text) returns int language sql as 'select 1'",
                "create type {}.t as (x int)",
                "create domain {}.uuid as text",
                "create operator {}.= (leftarg = int, rightarg = int, function = int4eq)",
                "alter schema {} owner to current_user",
                "drop schema {} cascade",
                "create sequence {}.s",
            ):
                assert outcome(tx, attempt.format(schema)) == "42501", attempt


# ----------------------------------------------------------------------------------- functions


def test_the_public_functions_are_these_with_these_arguments(tx: psycopg.Connection) -> None:
    found = functions(tx, "public")
    assert {name: names for name, names, _ in found} == TENANT_FUNCTIONS | WORKER_FUNCTIONS
    assert len(found) == len(TENANT_FUNCTIONS | WORKER_FUNCTIONS), "none is overloaded"
    with_defaults = world.column(
        tx,
        "select proname from pg_proc where pronamespace = 'public'::regnamespace"
        " and pronargdefaults > 0",
    )
    assert set(with_defaults) - set(WORKER_FUNCTIONS) == WITH_DEFAULTS


@strangers
def test_nobody_but_agents_calls_the_worker_functions(tx: psycopg.Connection, who: Persona) -> None:
    with who(tx):
        for name, _, types in functions(tx, "public"):
            if name in WORKER_FUNCTIONS:
                values = ", ".join(f"null::{type_}" for type_ in types)
                assert outcome(tx, f"select * from {name}({values})") == "42501", name


def test_public_functions_run_with_the_rights_of_their_caller(tx: psycopg.Connection) -> None:
    """What tenants may call is a wrapper; only the refresh, which they may not, is a body."""
    definers = world.column(
        tx,
        "select p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace"
        " and p.prosecdef and has_function_privilege('authenticated', p.oid, 'execute')",
    )
    assert definers == []
    assert world.column(
        tx,
        "select p.proname from pg_proc p, aclexplode(coalesce(p.proacl,"
        " acldefault('f', p.proowner))) a"
        " where p.pronamespace in ('public'::regnamespace, 'jobsdb'::regnamespace)"
        " and a.grantee in (0, 'anon'::regrole)",
    ) == []  # fmt: skip


@strangers
def test_no_function_of_the_private_schema_can_be_called(
    tx: psycopg.Connection, who: Persona
) -> None:
    private = functions(tx, "jobsdb")
    assert len(private) > 20
    with who(tx):
        for name, _, types in private:
            call = f"select jobsdb.{name}({', '.join(f'null::{t}' for t in types)})"
            assert outcome(tx, call) == "42501", name
            assert outcome(tx, f"select 'jobsdb.{name}'::regproc") == "42501", name
            aggregate = f"create aggregate pg_temp.a (int) (sfunc = jobsdb.{name}, stype = uuid)"
            assert outcome(tx, aggregate) == "42501", name


@strangers
def test_the_public_functions_do_nothing_to_others(
    tx: psycopg.Connection, victim: Victim, who: Persona
) -> None:
    before = world.row(tx, "select * from jobs where id = %s", victim.job)
    with who(tx):
        for status in ("running", "succeeded", "failed", "cancelled", "nonsense", None):
            call = "select transition_job_status(%s, %s)"
            found = outcome(tx, call, [victim.job, status])
            assert found in ("JB020", *NOTHING)
        for name in ("cancel_job", "pause_job", "resume_job"):
            assert outcome(tx, f"select {name}(%s)", [victim.job]) in ("JB020", *NOTHING), name
        for name in ("get_job_cards", "get_job_progress"):
            found = outcome(tx, f"select * from {name}(%s)", [victim.job])
            assert found in ([], *NOTHING), name
        found = outcome(tx, "select * from get_job_metrics_for_org(%s)", [A])
        assert found in ([], *NOTHING)
        assert outcome(tx, "select refresh_job_metrics()") == "42501"
    assert world.row(tx, "select * from jobs where id = %s", victim.job) == before


BY_JOB = ("preview_job", "dry_run_job", "plan_next_batch", "job_blockers", "settle_job")


def owned_by_a(conn: psycopg.Connection) -> dict[str, list[str]]:
    """Every row of A, and every row of a table without organisation, as text."""
    found = {}
    for relation in relations(conn, "rp"):
        mine = "where org_id = %s" if "org_id" in columns(conn, relation) else "where %s <> ''"
        query = f"select r::text from {relation} as r {mine} order by 1"
        found[relation] = world.column(conn, query, str(A))
    return found


@strangers
def test_the_functions_of_campaigns_do_nothing_to_others(
    tx: psycopg.Connection, victim: Victim, who: Persona
) -> None:
    before = owned_by_a(tx)
    given = {
        **vars(victim),
        "a": A,
        "hash": world.one(
            tx, "select content_hash from review_queue where card_id = %s", str(victim.waiting)
        ),
        "card_id": str(victim.waiting),
        "payload": Jsonb({"name": "x", "org_id": str(A), "idempotency_key": SECRET}),
        "contacts": Jsonb([{"contact_key": "contact 0", "email": "b@example.com"}]),
    }
    refused_by = {
        "create_job(%(payload)s)": ("JB020",),
        "upsert_contacts(%(contacts)s, %(a)s)": ("JB020",),
        "erase_contact(%(a)s, 'contact 0')": ("JB020",),
        "resolve_unknown(%(unknown_send)s, 'cancel')": ("JB020",),
        "resolve_unknown(%(unknown_send)s, 'cancel', %(a)s)": ("JB020",),
        **{f"{name}(%({job})s)": ("JB020",) for name in BY_JOB for job in ("job", "campaign")},
    }
    with who(tx):
        for call, codes in refused_by.items():
            assert outcome(tx, f"select * from {call}", given) in (*codes, *NOTHING), call
        exported = outcome(tx, "select export_contact(%(a)s, 'contact 0')", given)
        assert exported in ([(None,)], *NOTHING)
        for decision in ("approve", "reject", "redraft"):
            for more in ("", ", %(a)s"):
                call = f"review_card(%(card_id)s, '{decision}'{more})"
                found = outcome(tx, f"select {call}", given)
                assert found in ([("not_found",)], "JB003", *NOTHING), call
                call = f"review_cards(array[%(card_id)s], array[%(hash)s], '{decision}'{more})"
                found = outcome(tx, f"select outcome from {call}", given)
                assert found in ([("not_found",)], "JB003", *NOTHING), call
        call = "select review_card(%(card_id)s, 'approve', null, %(hash)s, '{}')"
        assert outcome(tx, call, given) in ([("not_found",)], "JB003", *NOTHING)
    assert owned_by_a(tx) == before


def test_a_tenant_whose_own_these_are_is_not_refused(
    tx: psycopg.Connection, victim: Victim
) -> None:
    """Else the test above would prove nothing."""
    with as_tenant(tx, A):
        for name in BY_JOB:
            assert isinstance(outcome(tx, f"select * from {name}(%s)", [victim.campaign]), list)
        exported = world.one(tx, "select export_contact(%s, 'contact 0')", A)
        assert SECRET in str(exported["contact"])
        assert SECRET in str(exported["jobs"])
        assert SECRET in str(exported["sends"])
        for call, given in {
            "resolve_unknown(%s, 'cancel')": victim.unknown_send,
            "review_card(%s, 'approve')": str(victim.waiting),
            "erase_contact(%s, 'contact 2')": A,
        }.items():
            assert isinstance(outcome(tx, f"select {call}", [given]), list), call
        assert world.one(tx, "select review_card(%s, 'approve')", str(victim.waiting)) == "ok"


def test_the_idempotency_keys_of_tenants_are_their_own(
    tx: psycopg.Connection, victim: Victim
) -> None:
    """The key of A is free for B, and gives B neither the job of A nor its audience."""
    with as_tenant(tx, B):
        mine = world.row(tx, "select id, org_id from create_job(%s)", campaign_of(B, SECRET))
        assert mine["org_id"] == B
        assert mine["id"] != victim.campaign
        again = world.one(tx, "select id from create_job(%s)", campaign_of(B, SECRET))
        assert again == mine["id"]
        assert outcome(tx, "select * from dry_run_job(%s)", [mine["id"]]) == []


def test_functions_take_null_for_an_unknown_id(tx: psycopg.Connection) -> None:
    with as_tenant(tx, B):
        with refused(tx, "JB020", 'job "null" was not found or is not yours'):
            tx.execute("select cancel_job(null)")
        assert outcome(tx, "select * from get_job_cards(null)") == []
        assert outcome(tx, "select * from get_job_progress(null)") == []
        assert outcome(tx, "select * from get_job_metrics_for_org(null)") == []
        for name in BY_JOB:
            with refused(tx, "JB020", 'job "null" was not found or is not yours'):
                tx.execute(f"select * from {name}(null)")
        with refused(tx, "JB020", 'send "null" was not found or is not yours'):
            tx.execute("select resolve_unknown(null, 'cancel')")
        with refused(tx, "JB020", 'organisation "null" was not found or is not yours'):
            tx.execute("select erase_contact(null, null)")
        assert outcome(tx, "select export_contact(null, null)") == [(None,)]
        assert outcome(tx, "select review_card(null, 'approve')") == [("not_found",)]


def test_a_foreign_and_an_unknown_id_are_refused_alike_by_every_function(
    tx: psycopg.Connection, victim: Victim
) -> None:
    with as_tenant(tx, B):
        for name, arguments, _ in functions(tx, "public"):
            if "job_id" not in arguments or name not in TENANT_FUNCTIONS or name.startswith("get_"):
                continue
            more = ", 'running'" if "new_status" in arguments else ""
            call = f"select {name}(%s{more})"
            foreign = refusal(tx, call, [victim.job])
            assert foreign["sqlstate"] == "JB020", name
            assert foreign["message_detail"], name
            assert foreign["message_hint"], name
            assert foreign == refusal(tx, call, [victim.finished_job]), name
            assert foreign == refusal(tx, call, [UNKNOWN]), name
        for call, theirs, unknown in (
            ("resolve_unknown(%s, 'cancel')", victim.unknown_send, UNKNOWN_TASK),
            ("erase_contact(%s, 'contact 0')", A, UNKNOWN),
            ("upsert_contacts('[]', %s)", A, UNKNOWN),
            ("create_job(jsonb_build_object('name', 'x', 'org_id', %s::text))", A, UNKNOWN),
        ):
            foreign = refusal(tx, f"select {call}", [theirs])
            assert foreign["sqlstate"] == "JB020", call
            assert foreign["message_detail"], call
            assert foreign["message_hint"], call
            assert foreign == refusal(tx, f"select {call}", [unknown]), call
        for call in (
            "select outcome from review_cards(array[%s::text], array['x'], 'approve')",
            "select review_card(%s::text, 'approve')",
            "select export_contact(%s::uuid, 'contact 0')",
        ):
            for card in victim.waiting, victim.card, A:
                assert outcome(tx, call, [card]) == outcome(tx, call, [UNKNOWN]), call


PLAIN_SQL = {
    "a task is added": "insert into job_tasks (job_id, step, kind) values (%(job)s, 1, 'research')",
    "a task is added unless it exists": (
        "insert into job_tasks (job_id, step, kind) values (%(job)s, 1, 'research')"
        " on conflict (job_id, batch, step) do nothing"
    ),
    "a task is added or changed": (
        "insert into job_tasks (job_id, step, kind) values (%(job)s, 1, 'research')"
        " on conflict (job_id, batch, step) do update set status = 'done' returning *"
    ),
    "a task of no kind is added": (
        "insert into job_tasks (job_id, step, kind, input) values (%(job)s, 1, 'x', '[]')"
    ),
    "a card is added to a job": "insert into kanban_cards (job_id, type) values (%(job)s, 'x')",
    "a card is added to a task": "insert into kanban_cards (task_id, type) values (%(task)s, 'x')",
    "an approved card is added": (
        "insert into kanban_cards (job_id, type, state) values (%(job)s, 'x', 'approved')"
    ),
    "a card is linked to a job": "update kanban_cards set job_id = %(job)s",
    "a card is linked to a task": "update kanban_cards set task_id = %(task)s",
    "a card of an own job is linked to a task": (
        "update kanban_cards set job_id = %(own)s, task_id = %(task)s"
    ),
    "a card is moved from an own job": (
        "with linked as (select id from kanban_cards) update kanban_cards"
        " set job_id = %(job)s, task_id = null"
    ),
    "a run is added": "insert into agent_runs (job_id) values (%(job)s)",
    "a run is linked": "update agent_runs set job_id = %(job)s",
}


@pytest.mark.parametrize("attempt", PLAIN_SQL.values(), ids=PLAIN_SQL.keys())
def test_a_foreign_and_an_unknown_id_are_refused_alike_in_plain_sql(
    tx: psycopg.Connection, victim: Victim, attempt: str
) -> None:
    own = world.new_job(tx, B)
    world.new_card(tx, None, org=B)
    tx.execute("insert into agent_runs (org_id) values (%s)", [B])

    def told(job: UUID, task: int) -> dict[str, Any]:
        with pytest.raises(psycopg.Error) as info, tx.transaction(force_rollback=True):
            tx.execute(attempt, {"job": job, "task": task, "own": own})
        diag = info.value.diag
        names = ("sqlstate", "message_primary", "message_detail", "message_hint")
        names += ("context", "table_name", "constraint_name")
        texts = {name: getattr(diag, name) or "" for name in names}
        shaped = {k: v.replace(str(job), "<job>") for k, v in texts.items()}
        return {k: re.sub(rf"\b{task}\b", "<task>", v) for k, v in shaped.items()}

    with as_tenant(tx, B):
        told(UNKNOWN, UNKNOWN_TASK)  # the context of the very first call is worded otherwise
        foreign = told(victim.job, victim.task)
        assert foreign == told(UNKNOWN, UNKNOWN_TASK)
        assert foreign["sqlstate"] in ("JB020", "23503")


def test_rows_of_others_are_changed_by_no_plain_update(
    tx: psycopg.Connection, victim: Victim
) -> None:
    changes = {
        "update jobs set status = 'cancelled' where id = %s": victim.job,
        "update job_tasks set status = 'done' where id = %s": victim.task,
        "update job_tasks set output = '{}' where job_id = %s": victim.job,
        "update kanban_cards set state = 'approved' where id = %s": victim.card,
        "update kanban_cards set job_id = null where id = %s": victim.unlinked,
        "update agent_runs set status = 'x' where id = %s": victim.run,
    }
    with as_tenant(tx, B):
        for change, target in changes.items():
            assert tx.execute(change, [target]).rowcount == 0, change


def test_a_job_of_another_tenant_is_not_even_waited_for(
    tx: psycopg.Connection, victim: Victim
) -> None:
    """How long an answer takes tells nothing either: a locked row of A does not hold B up."""
    with psycopg.connect(tx.info.dsn, host=tx.info.host, port=tx.info.port) as holder:
        holder.execute("select from public.jobs where id = %s for update", [victim.job])
        holder.execute("select from public.job_tasks where job_id = %s for update", [victim.job])
        with as_tenant(tx, B):
            tx.execute("set local statement_timeout = '2s'")
            for attempt in (
                "select cancel_job(%(job)s)",
                "select pause_job(%(job)s)",
                *(f"select {name}(%(job)s)" for name in BY_JOB),
                PLAIN_SQL["a task is added"],
                PLAIN_SQL["a card is added to a job"],
                PLAIN_SQL["a card is added to a task"],
            ):
                found = outcome(tx, attempt, {"job": victim.job, "task": victim.task})
                assert found == "JB020", attempt


def test_ids_cannot_be_given_so_they_cannot_be_probed(
    tx: psycopg.Connection, victim: Victim
) -> None:
    with as_tenant(tx, B):
        for attempt in (
            "insert into jobs (id, name) values (%(job)s, 'x') on conflict (id) do nothing",
            "insert into kanban_cards (id, type) values (%(card)s, 'x') on conflict do nothing",
            "insert into agent_runs (id) values (%(run)s) on conflict do nothing",
            "insert into job_tasks (id, job_id, step, kind) overriding system value"
            " values (%(task)s, %(job)s, 1, 'research') on conflict do nothing",
        ):
            assert outcome(tx, attempt, vars(victim)) == "42501", attempt


# ------------------------------------------------------------------- tricks of the search path


def test_trigger_functions_of_ours_cannot_be_attached_to_other_tables(
    tx: psycopg.Connection,
) -> None:
    found = world.column(
        tx,
        "select p.oid::regproc::text from pg_proc p where p.prorettype = 'trigger'::regtype"
        " and p.pronamespace in ('public'::regnamespace, 'jobsdb'::regnamespace)",
    )
    assert "jobsdb.update_job_metrics_on_task_change" in found
    attach = "create trigger t after insert on mine for each row execute function {}()"
    for who in (as_tenant(tx, B), as_service(tx), as_anon(tx)):
        with who:
            tx.execute("create temp table mine (id bigint, job_id uuid, status text)")
            for function in found:
                assert outcome(tx, attach.format(function)) == "42501", function
            tx.execute("drop table mine")


def test_a_trigger_function_attached_elsewhere_by_the_owner_does_nothing(
    tx: psycopg.Connection, victim: Victim
) -> None:
    found = world.column(
        tx,
        "select p.oid::regproc::text from pg_proc p where p.prorettype = 'trigger'::regtype"
        " and p.pronamespace = 'jobsdb'::regnamespace order by 1",
    )
    for function in found:
        with tx.transaction(force_rollback=True):
            tx.execute(
                "create temp table mine (id bigint, job_id uuid, org_id uuid, task_id bigint,"
                " batch int, step int, status text, rev int, name text, params jsonb)"
            )
            tx.execute(
                f"create trigger t after insert on mine for each row execute function {function}()"
            )
            with refused(tx, "JB090", "this trigger function belongs to another table"):
                tx.execute(
                    "insert into mine (id, job_id, org_id, status) values (1, %s, %s, 'done')",
                    [victim.job, A],
                )


SHADOWS = (
    "jobs",
    "job_tasks",
    "kanban_cards",
    "job_deltas",
    "org_members",
    "transitions",
    "job_metrics_mv",
    "review_queue",
    *sorted(OF_CAMPAIGNS),
)


def test_temporary_tables_of_the_same_name_are_not_believed(
    tx: psycopg.Connection, victim: Victim
) -> None:
    with as_tenant(tx, B):
        for name in SHADOWS:
            tx.execute(
                f"create temp table {name} (id uuid, org_id uuid, user_id uuid, job_id uuid,"
                " name text, status text, params jsonb, entity text, from_status text,"
                " to_status text)"
            )
            tx.execute(f"grant all on pg_temp.{name} to public")
            tx.execute(
                f"insert into pg_temp.{name} (id, org_id, user_id, job_id, name, status)"
                " values (%s, %s, %s, %s, 'x', 'running')",
                [victim.job, B, B, victim.job],
            )
        for call in (
            "cancel_job(%s)",
            "transition_job_status(%s, 'failed')",
            "pause_job(%s)",
            *(f"{name}(%s)" for name in BY_JOB),
        ):
            assert outcome(tx, f"select public.{call}", [victim.job]) == "JB020", call
        for call in ("get_job_cards", "get_job_progress"):
            assert outcome(tx, f"select * from public.{call}(%s)", [victim.job]) == [], call
        for relation in READABLE:
            assert SECRET not in str(outcome(tx, f"select r::text from {relation} r")), relation


TYPES = ("uuid", "text", "jsonb", "json", "name", "timestamptz", "xid8", "xid", "numeric", "int4", "int8", "bool", "bytea")  # fmt: skip # noqa: E501


def test_temporary_types_never_make_our_code_run_theirs(server: Server, template: str) -> None:
    """pg_temp is looked into first, for types too, unless search_path names it last.

    A domain called uuid whose check calls a function of the attacker would run as the owner. Each
    session compiles our functions anew, so the attacker comes first in this one.
    """
    told: list[str] = []
    with (
        new_database(server, template) as address,
        psycopg.connect(address, autocommit=True) as owner,
        psycopg.connect(address, autocommit=True) as conn,
    ):
        job = world.new_job(owner, A, name=SECRET)
        task = world.new_task(owner, job)
        campaign, card, send = plant_campaign(owner, B, "of B")
        conn.add_notice_handler(lambda diag: told.append(diag.message_primary or ""))
        with as_tenant(conn, B):
            for name in TYPES:
                conn.execute(
                    f"create function pg_temp.evil(pg_catalog.{name}) returns pg_catalog.bool"
                    " language plpgsql as $$ begin raise notice 'evil % %', current_user,"
                    " (select string_agg(j.name, ',') from public.jobs as j); return true;"
                    " end $$"
                )
            for name in TYPES:
                conn.execute(
                    f"create domain pg_temp.{name} as pg_catalog.{name} check (pg_temp.evil(value))"
                )
            conn.execute("select 'x'::text")
            assert told, "the attacker's own domain must run for himself"
            own = "insert into public.jobs (name, params) values ('b', '{\"a\": 1}')"
            mine = world.one(conn, own + " returning id")
            for attempt in (
                f"insert into public.job_tasks (job_id, step, kind) values ('{mine}', 1, 'x')",
                f"insert into public.job_tasks (job_id, step, kind, input) values ('{mine}', 1,"
                " 'research', '{\"scheduled_for\": \"2030-01-01\"}')",
                f"insert into public.job_tasks (job_id, step, kind) values ('{mine}', 2,"
                " 'research')",
                f"insert into public.kanban_cards (job_id, type) values ('{mine}', 'x')",
                f"insert into public.kanban_cards (task_id, type) values ({task}, 'x')",
                "update public.kanban_cards set state = 'approved'",
                "update public.kanban_cards set content = '{\"a\": 2}'",
                "update public.job_tasks set status = 'running'",
                "update public.job_tasks set status = 'done', output = '{\"a\": 2}'",
                f"insert into public.agent_runs (job_id) values ('{mine}')",
                f"select public.transition_job_status('{mine}', 'running')",
                f"select public.pause_job('{mine}')",
                f"select public.resume_job('{mine}')",
                f"select public.cancel_job('{job}')",
                f"select public.cancel_job('{mine}')",
                f"select * from public.get_job_cards('{mine}')",
                f"select * from public.get_job_progress('{mine}')",
                f"select * from public.get_job_metrics_for_org('{B}')",
                *(f"select * from public.{name}('{campaign}')" for name in BY_JOB),
                'select public.create_job(\'{"name": "b", "idempotency_key": "k"}\')',
                'select public.validate_job_params(\'{"cadence": {"day0": true}}\')',
                'select public.explain_job_params(\'{"cadence": {"day0": true}}\')',
                "select public.render_template('\"x {{a}}\"', '{\"a\": 1}')",
                'select public.upsert_contacts(\'[{"contact_key": "d"}]\')',
                "select public.review_card(c.id::text, 'reject') from public.kanban_cards as c",
                "select public.review_cards(array_agg(q.card_id), array_agg(q.content_hash),"
                " 'redraft') from public.review_queue as q",
                f"select public.resolve_unknown({send}, 'cancel')",
                f"select public.review_card('{card}', 'approve', content => '{{\"to\": \"x\"}}')",
                f"select public.export_contact('{B}', 'contact 0')",
                f"select public.erase_contact('{B}', 'contact 0')",
                *(f"select * from {relation}" for relation in sorted(READABLE)),
            ):
                with conn.transaction():
                    outcome(conn, attempt)
    assert {line for line in told if "evil authenticated" not in line} == set()
    assert SECRET not in str(told)


def test_every_function_of_ours_looks_into_the_temporary_schema_last(
    tx: psycopg.Connection,
) -> None:
    loose = world.column(
        tx,
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.pronamespace in ('public'::regnamespace, 'jobsdb'::regnamespace)"
        " and p.prosqlbody is null"
        " and not coalesce(p.proconfig::text ~ 'search_path=pg_catalog, ?pg_temp', false)"
        " order by 1",
    )
    assert loose == []


def test_every_function_of_ours_pins_its_search_path(tx: psycopg.Connection) -> None:
    loose = world.column(
        tx,
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.pronamespace in ('public'::regnamespace, 'jobsdb'::regnamespace)"
        " and not coalesce(p.proconfig::text ~ 'search_path=', false)",
    )
    assert loose == []


def test_nothing_of_ours_calls_for_usage_on_the_private_schema(tx: psycopg.Connection) -> None:
    for role in ("anon", "authenticated"):
        for privilege in ("usage", "create"):
            assert not world.one(
                tx, "select has_schema_privilege(%s, 'jobsdb', %s)", role, privilege
            )
    assert not world.one(tx, "select has_schema_privilege('service_role', 'jobsdb', 'create')")


def test_every_table_of_a_tenant_has_its_organisation_and_row_level_security(
    tx: psycopg.Connection,
) -> None:
    for relation in relations(tx, "rp"):
        assert world.one(
            tx, "select relrowsecurity from pg_class where oid = %s::regclass", relation
        ), relation
        if "job_id" in columns(tx, relation):
            assert "org_id" in columns(tx, relation), relation


# ------------------------------------------------------------------------------ who is the caller


def test_a_membership_opens_an_organisation_and_its_end_closes_it(
    tx: psycopg.Connection, victim: Victim
) -> None:
    """Also for a statement prepared before: the identity is looked up at every execution."""
    tx.execute("set local plan_cache_mode = force_generic_plan")
    tx.execute("prepare theirs as select count(*) from public.jobs where org_id = $1")
    counted = sql.SQL("execute theirs ({})").format(sql.Literal(str(A))).as_string()

    def jobs_seen(who: AbstractContextManager[None]) -> int:
        with who:
            return world.one(tx, counted)

    assert jobs_seen(as_tenant(tx, A)) == 3
    assert jobs_seen(as_tenant(tx, B)) == 0
    with as_service(tx):
        tx.execute("select jobsdb.add_org_member(%s, %s)", [B, A])
        tx.execute("select jobsdb.add_org_member(%s, %s)", [B, A])
    assert jobs_seen(as_tenant(tx, B)) == 3
    with as_tenant(tx, B):
        for relation in READABLE:
            assert outcome(tx, f"select * from {relation} where org_id = %s", [A]) != [], relation
        assert tx.execute("select * from get_job_cards(%s)", [victim.job]).fetchall()
        assert tx.execute("select * from get_job_metrics_for_org(%s)", [A]).fetchall()
        assert tx.execute("select * from job_blockers(%s)", [victim.campaign]).fetchall()
        assert world.one(tx, "select export_contact(%s, 'contact 0')", A)
        assert world.one(tx, "select review_card(%s, 'approve')", str(victim.waiting)) == "ok"
        tx.execute("select pause_job(%s)", [victim.job])
        added = "insert into jobs (org_id, name) values (%s, 'by B') returning created_by"
        assert world.one(tx, added, A) == B
        tx.execute(
            "insert into job_tasks (job_id, step, kind) values (%s, 77, 'research')", [victim.job]
        )
        tx.execute("update kanban_cards set state = 'approved' where id = %s", [victim.card])
        assert outcome(tx, "select jobsdb.add_org_member(%s, %s)", [B, UNKNOWN]) == "42501"
    assert jobs_seen(world.as_nobody(tx)) == 0
    with as_service(tx):
        tx.execute("select jobsdb.remove_org_member(%s, %s)", [B, A])
    assert jobs_seen(as_tenant(tx, B)) == 0
    with as_tenant(tx, B):
        for relation in READABLE:
            assert outcome(tx, f"select * from {relation} where org_id = %s", [A]) == [], relation
        with refused(tx, "JB020", "was not found or is not yours"):
            tx.execute("select resume_job(%s)", [victim.job])


def test_a_membership_of_one_organisation_opens_no_other(tx: psycopg.Connection) -> None:
    tx.execute("select jobsdb.add_org_member(%s, %s)", [B, UNKNOWN])
    with as_tenant(tx, B):
        for relation in READABLE:
            assert outcome(tx, f"select * from {relation} where org_id = %s", [A]) == [], relation


def test_no_role_can_be_taken_that_was_not_given(tx: psycopg.Connection) -> None:
    tx.execute("create role alice_of_the_tests login in role authenticated")
    tx.execute("set local session authorization alice_of_the_tests")
    for role in ("service_role", "postgres", "anon"):
        assert outcome(tx, f"set role {role}") == "42501"
        assert outcome(tx, f"select set_config('role', '{role}', true)") == "42501"
        assert outcome(
            tx,
            "create function pg_temp.f() returns int language sql"
            f" set role to {role} as 'select 1'; select pg_temp.f()",
        ) in ("42501", "42601")
    assert outcome(tx, "grant service_role to alice_of_the_tests") == "42501"


def test_a_login_of_its_own_is_a_tenant_or_an_agent_by_membership(
    tx: psycopg.Connection, victim: Victim
) -> None:
    """Whoever logs in directly and takes no role is what the role he belongs to is."""
    tx.execute("create role alice_of_the_tests login in role authenticated")
    tx.execute("create role agent_of_the_tests login in role service_role")
    with tx.transaction(force_rollback=True):
        tx.execute("set local session authorization alice_of_the_tests")
        assert world.one(tx, "select count(*) from public.jobs") == 0
        with refused(tx, "JB020", "was not found or is not yours"):
            tx.execute("select public.cancel_job(%s)", [victim.job])
        tx.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{B}"}}'])
        assert world.one(tx, "select count(*) from public.jobs") == 1
        with refused(tx, "JB020", "was not found or is not yours"):
            tx.execute("select public.cancel_job(%s)", [victim.job])
    with tx.transaction(force_rollback=True):
        tx.execute("set local session authorization agent_of_the_tests")
        assert world.one(tx, "select count(*) from public.jobs") == 4
        tx.execute("select public.pause_job(%s)", [victim.job])
        with refused(tx, "JB003", "cannot be approved by nobody"):
            tx.execute(
                "update public.kanban_cards set state = 'approved' where id = %s", [victim.card]
            )


def test_a_definer_function_of_the_host_does_not_turn_a_tenant_into_the_owner(
    tx: psycopg.Connection, victim: Victim
) -> None:
    tx.execute(
        "create function public.host_cancel(uuid) returns void language plpgsql security definer"
        " as $$ begin perform public.cancel_job($1); end $$"
    )
    tx.execute(
        "create function public.host_task(uuid) returns void language sql security definer"
        " as $$ insert into public.job_tasks (job_id, step, kind) values ($1, 99, 'research') $$"
    )
    tx.execute(
        "create function public.host_approve(uuid) returns void language sql security definer"
        " as $$ update public.kanban_cards set state = 'approved' where id = $1 $$"
    )
    with as_tenant(tx, B):
        for call, target in (
            ("host_cancel", victim.job),
            ("host_task", victim.job),
            ("host_approve", victim.card),
        ):
            with refused(tx, "JB020", "was not found or is not yours"):
                tx.execute(f"select public.{call}(%s)", [target])
    with as_service(tx), refused(tx, "JB003", "cannot be approved by nobody"):
        tx.execute("select public.host_approve(%s)", [victim.card])


def test_the_service_role_acts_for_every_organisation_without_owning_the_schema(
    tx: psycopg.Connection, victim: Victim
) -> None:
    with as_service(tx):
        for relation in READABLE:
            assert outcome(tx, f"select * from {relation} where org_id = %s", [A]), relation
        tx.execute("select pause_job(%s)", [victim.job])
        assert tx.execute("select * from get_job_cards(%s)", [victim.job]).fetchall()
        for table, names in {
            "jobs": "id created_by created_at started_at finished_at paused_at tasks_total"
            " tasks_done tasks_error tasks_skipped cards_total cards_approved",
            "job_tasks": "id created_at rev pos waits_on attempt lease_token lease_expires_at"
            " locked_by",
        }.items():
            for name in names.split():
                found = outcome(tx, f"update {table} set {name} = {name}")
                assert found in ("42501", "428C9"), (table, name)
                found = outcome(tx, f"insert into {table} ({name}) values (default)")
                assert found == "42501", (table, name)
        for table in ("jobs", "job_tasks"):
            assert outcome(tx, f"update {table} set org_id = org_id") == "42501", table
        for relation in relations(tx, "rp"):
            assert outcome(tx, f"truncate {relation} cascade") == "42501", relation
            if relation.startswith("jobsdb."):
                for tried in ("delete from {}", "insert into {} default values"):
                    assert outcome(tx, tried.format(relation)) == "42501", relation
