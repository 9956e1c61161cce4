"""The host application's own kanban_cards and agent_runs: adopted as they are, never changed.

Each shape is a host as research found them. After adoption only what is ours may differ, the
campaign must work, and the host may go on changing its own columns.
"""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import world
from helpers import as_role, as_service, as_tenant, new_database, refused
from jobsdb.local import Server
from jobsdb.sqlfiles import load
from world import A, B, one, row

CARD_ROWS = f"""
insert into public.kanban_cards (org_id, type, title, state, content)
select '{A}', 'note', 'old ' || n, 'in_review', '{{"n": 1}}' from generate_series(1, 7) as n;
"""
RUN_ROWS = f"""
insert into public.agent_runs (org_id, status) select '{A}', 'ended' from generate_series(1, 5);
"""
RUNS = """
create table public.agent_runs (
  id uuid primary key default gen_random_uuid(), org_id uuid not null, status text
);
grant select, insert, update, delete on public.agent_runs to authenticated, service_role;
"""
PLAIN = """
create table public.kanban_cards (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null,
  type text,
  title text,
  state text not null default 'in_review',
  content jsonb
);
grant select, insert, update, delete on public.kanban_cards to authenticated, service_role;
"""
RICH = """
create schema host;
create function host.touch() returns trigger language plpgsql as
$$ begin new.touched_at := now(); return new; end $$;
create table public.kanban_cards (
  board int not null default 1,
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null,
  type varchar(40) not null check (type <> ''),
  "Odd name" text collate "C",
  title text,
  state text not null default 'todo',
  content jsonb not null default '{}',
  tags text[] not null default '{}',
  touched_at timestamptz,
  number int generated always as identity,
  shout text generated always as (upper(title)) stored,
  constraint state_is_short check (length(state) < 20),
  constraint number_once unique (org_id, number)
) with (fillfactor = 80);
create index cards_by_state on public.kanban_cards (org_id, state) where state <> 'done';
create trigger touch before update on public.kanban_cards
for each row execute function host.touch();
alter table public.kanban_cards enable row level security;
create policy own_rows on public.kanban_cards to authenticated
using (org_id = auth.uid()) with check (org_id = auth.uid());
create policy backend on public.kanban_cards to service_role using (true) with check (true);
create policy readers on public.kanban_cards as restrictive for select using (board > 0);
grant select, insert, update, delete on public.kanban_cards to authenticated, service_role;
grant select (id, title) on public.kanban_cards to anon;
comment on table public.kanban_cards is 'of the host';
comment on column public.kanban_cards.title is 'the host says';
alter table public.kanban_cards replica identity full;
alter table public.kanban_cards alter column title set statistics 500;
"""
BIGINT_ID = PLAIN.replace(
    "id uuid primary key default gen_random_uuid()", "id bigint generated always as identity"
)
ENUM = """
create type public.card_state as enum ('todo', 'in_review', 'approved', 'rejected', 'done');
""" + PLAIN.replace("state text not null default", "state public.card_state not null default")
CHECKED = PLAIN.replace(
    "default 'in_review'",
    "default 'in_review' check (state in ('todo', 'in_review', 'approved', 'rejected', 'done'))",
)
DOMAIN = "create domain public.word as varchar(20) not null check (value <> '');" + PLAIN.replace(
    "state text not null default", "state public.word default"
).replace("type text", "type public.word")
NULLABLE_ORG = PLAIN.replace("org_id uuid not null", "org_id uuid")
JSON = PLAIN.replace("content jsonb", "content json")
LINKS_THERE = PLAIN.replace("content jsonb", "content jsonb, job_id uuid, task_id bigint")
NO_ORG_RUNS = RUNS.replace("org_id uuid not null, ", "")
NULLABLE_ORG_RUNS = RUNS.replace("org_id uuid not null", "org_id uuid")
NO_ORG_RUN_ROWS = "insert into public.agent_runs (status) select 'ended' from generate_series(1, 5)"

ADOPTED = {
    "plain": PLAIN + CARD_ROWS + RUNS + RUN_ROWS,
    "rich, with its own policies": RICH + CARD_ROWS + RUNS + RUN_ROWS,
    "bigint id": BIGINT_ID + CARD_ROWS + RUNS + RUN_ROWS,
    "enum state": ENUM + CARD_ROWS + RUNS + RUN_ROWS,
    "text state with a check": CHECKED + CARD_ROWS + RUNS + RUN_ROWS,
    "states are a domain": DOMAIN + CARD_ROWS + RUNS + RUN_ROWS,
    "organisation may be null": (
        NULLABLE_ORG + CARD_ROWS.replace(f"'{A}'", "null") + NULLABLE_ORG_RUNS + RUN_ROWS
    ),
    "content is json": JSON + CARD_ROWS + RUNS + RUN_ROWS,
    "empty columns for the links are there": LINKS_THERE + CARD_ROWS + RUNS + RUN_ROWS,
    "runs without an organisation": PLAIN + CARD_ROWS + NO_ORG_RUNS + NO_ORG_RUN_ROWS,
    "forced row-level security, and a superuser deploys": (
        PLAIN + CARD_ROWS + RUNS + RUN_ROWS
        + "alter table public.kanban_cards enable row level security, force row level security;"
        + "create policy p on public.kanban_cards to authenticated using (org_id = auth.uid());"
        + "create policy s on public.kanban_cards to service_role using (true);"
    ),
    "cards only": PLAIN + CARD_ROWS,
    "runs only": RUNS + RUN_ROWS,
}  # fmt: skip
REFUSED = {
    "org_id is missing": (
        PLAIN.replace("org_id uuid not null,", ""),
        "public.kanban_cards has no column org_id",
    ),
    "org_id is text": (
        PLAIN.replace("org_id uuid", "org_id text"),
        "public.kanban_cards.org_id is text, not uuid",
    ),
    "type is missing": (PLAIN.replace("type text,", ""), "public.kanban_cards has no column type"),
    "content is missing": (
        PLAIN.replace("'in_review',", "'in_review'").replace("content jsonb", ""),
        "public.kanban_cards has no column content",
    ),
    "id is missing": (
        PLAIN.replace("id uuid primary key default gen_random_uuid(),", ""),
        "public.kanban_cards has no column id",
    ),
    "it is a view": (
        f"create view public.kanban_cards as select '{A}'::uuid as id, '{A}'::uuid as org_id,"
        " 'x' as type, 'x' as title, 'x' as state, '{}'::jsonb as content",
        "public.kanban_cards is not an ordinary table",
    ),
    "it is a materialized view": (
        f"create materialized view public.kanban_cards as select '{A}'::uuid as id,"
        f" '{A}'::uuid as org_id, 'x' as type, 'x' as title, 'x' as state, '1'::jsonb as content",
        "public.kanban_cards is not an ordinary table",
    ),
    "it is partitioned": (
        PLAIN.replace(" primary key", "").replace(
            "content jsonb\n)", "content jsonb\n) partition by list (org_id)"
        ),
        "public.kanban_cards is not an ordinary table",
    ),
    "job_id is text": (
        PLAIN.replace("content jsonb", "content jsonb, job_id text"),
        "public.kanban_cards.job_id is text, not uuid",
    ),
    "job_id is required": (
        PLAIN.replace("content jsonb", "content jsonb, job_id uuid not null"),
        "public.kanban_cards.job_id is not nullable",
    ),
    "job_id has values of the host": (
        PLAIN.replace("content jsonb", "content jsonb, job_id uuid default gen_random_uuid()")
        + CARD_ROWS,
        "public.kanban_cards.job_id",
    ),
    "task_id is int": (
        PLAIN.replace("content jsonb", "content jsonb, task_id int"),
        "public.kanban_cards.task_id is integer, not bigint",
    ),
    "enum lacks a state": (
        ENUM.replace("'rejected', ", ""),
        "public.kanban_cards.state has no label rejected",
    ),
    "job_id of runs is text": (
        RUNS.replace("status text", "status text, job_id text"),
        "public.agent_runs.job_id is text, not uuid",
    ),
    "org_id of runs is text": (
        RUNS.replace("org_id uuid", "org_id text"),
        "public.agent_runs.org_id is text, not uuid",
    ),
    "runs are a view": (
        f"create view public.agent_runs as select '{A}'::uuid as id, '{A}'::uuid as org_id",
        "public.agent_runs is not an ordinary table",
    ),
}

CATALOG = {
    "table": """
        select c.relname, c.relkind::text, c.relpersistence::text, pg_get_userbyid(c.relowner),
          c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relreplident::text,
          obj_description(c.oid)
        from pg_class c where c.oid = %(t)s""",
    "privilege": """
        select c.relname, a.grantee::regrole::text, a.privilege_type, a.is_grantable
        from pg_class c, aclexplode(c.relacl) a where c.oid = %(t)s""",
    "column": """
        select a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
          a.attidentity::text, a.attgenerated::text, a.attcollation::regcollation::text,
          a.attacl::text, pg_get_expr(d.adbin, d.adrelid), col_description(%(t)s, a.attnum),
          (to_jsonb(a) ->> 'attstattarget')
        from pg_attribute a
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = %(t)s and a.attnum > 0 and not a.attisdropped""",
    "constraint": """
        select conname, pg_get_constraintdef(oid), convalidated from pg_constraint
        where conrelid = %(t)s""",
    "index": """
        select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid
        from pg_index i where i.indrelid = %(t)s""",
    "trigger": """
        select tgname, pg_get_triggerdef(oid), tgenabled::text from pg_trigger
        where tgrelid = %(t)s and not tgisinternal""",
    "policy": """
        select polname, polcmd::text, polpermissive, polroles::regrole[]::text,
          pg_get_expr(polqual, %(t)s), pg_get_expr(polwithcheck, %(t)s)
        from pg_policy where polrelid = %(t)s""",
    "rule": "select rulename, pg_get_ruledef(oid) from pg_rewrite where ev_class = %(t)s",
}


def snapshot(conn: psycopg.Connection) -> set[tuple[Any, ...]]:
    """Everything the catalog says of the two tables, and all types and functions in public."""
    facts: set[tuple[Any, ...]] = set()
    for table in ("kanban_cards", "agent_runs"):
        oid = one(conn, "select to_regclass('public.' || %s)::oid", table)
        if oid is None:
            continue
        for kind, query in CATALOG.items():
            for found in conn.execute(query, {"t": oid}):
                facts.add((table, kind, *(str(value) for value in found)))
    return facts


def is_ours(fact: tuple[Any, ...]) -> bool:
    _, kind, name, *_ = fact
    return (
        (kind == "column" and name in ("job_id", "task_id"))
        or (kind in ("constraint", "trigger") and name.startswith("jobsdb_"))
        or (kind == "index" and name.removeprefix("public.").startswith("jobsdb_"))
    )


def data(conn: psycopg.Connection) -> dict[str, list[dict[str, Any]]]:
    """All rows of the host's two tables, without our columns."""
    found = {}
    for table in ("kanban_cards", "agent_runs"):
        if one(conn, "select to_regclass('public.' || %s)", table):
            rows = world.column(
                conn, f"select to_jsonb(t) - 'job_id' - 'task_id' from public.{table} t"
            )
            found[table] = sorted(rows, key=str)
    return found


@pytest.fixture
def host(server: Server) -> Iterator[psycopg.Connection]:
    """An empty database with the roles and auth.uid() that hosts have."""
    with (
        new_database(server) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        world.make_prerequisites(conn)
        yield conn


@pytest.fixture(scope="module")
def half(server: Server) -> Iterator[psycopg.Connection]:
    """A database in which the first migration has been applied, and no host tables are."""
    with (
        new_database(server) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        with conn.transaction():
            world.begin_install(conn)
            for file in load():
                if file.bundle == 1 and file.kind != "present":
                    world.send(conn, file)
        yield conn


def adopt(conn: psycopg.Connection) -> None:
    """What follows the first migration, up to the second one."""
    world.begin_install(conn)
    for file in load():
        if file.bundle == 2 and file.kind != "present":
            world.send(conn, file)


def exercise(conn: psycopg.Connection, *, org_of_runs: bool = True) -> None:
    """A whole campaign over the host's tables, undone afterwards."""
    with conn.transaction(force_rollback=True):
        job = world.new_job(conn)
        task = world.new_task(conn, job)
        added = (
            "insert into public.kanban_cards (org_id, job_id, task_id, type, title, state, content)"
            " values (%s, %s, %s, 'send_email', 't', %s, '{\"to\": \"x\"}') returning id"
        )
        with as_tenant(conn, A):
            first = one(conn, added, A, job, task, "in_review")
            second = one(conn, added, A, None, task, "in_review")
            old = one(conn, added, A, None, None, "approved")
        with as_service(conn), refused(conn, "JB003", "cannot be approved by nobody"):
            world.move_card(conn, first, "approved")
        with as_service(conn), refused(conn, "JB003", "cannot be approved by nobody"):
            conn.execute("update kanban_cards set job_id = %s where id = %s", [job, old])
        with as_tenant(conn, A):
            with refused(conn, "JB003", 'from "in_review" to "done"'):
                world.move_card(conn, first, "done")
            world.move_card(conn, first, "approved")
            conn.execute("update kanban_cards set job_id = %s where id = %s", [job, old])
            world.move_card(conn, second, "rejected")
            assert len(conn.execute("select * from get_job_cards(%s)", [job]).fetchall()) == 3
        world.check_counters(conn)
        assert world.counters(conn, job)["cards_approved"] == 2
        with as_service(conn):
            world.move_card(conn, first, "done")
            conn.execute("delete from kanban_cards where id = %s", [second])
        hashes = world.column(
            conn, "select content_hash from jobsdb.card_reviews where card_id = %s", str(first)
        )
        assert len(hashes) == 1
        world.check_counters(conn)
        metrics = row(conn, "select * from job_metrics_live where job_id = %s", job)
        assert metrics["cards_by_type"] == {"send_email": {"approved": 1, "done": 1}}
        assert metrics["emails_sent"] == 1
        run = one(
            conn,
            "insert into public.agent_runs (status, job_id"
            + (", org_id) values ('x', %s, %s)" if org_of_runs else ") values ('x', %s)")
            + " returning id",
            *([job, A] if org_of_runs else [job]),
        )
        with as_service(conn):
            conn.execute("delete from jobs where id = %s", [job])
        assert one(conn, "select job_id from public.agent_runs where id = %s", run) is None
        link = row(conn, "select job_id, task_id from public.kanban_cards where id = %s", first)
        assert set(link.values()) == {None}
        world.check_counters(conn)


# --------------------------------------------------------------------------------------- adoption


@pytest.mark.parametrize("shape", ADOPTED.values(), ids=ADOPTED.keys())
def test_a_host_is_adopted_without_changing_anything_of_it(
    host: psycopg.Connection, shape: str
) -> None:
    host.execute(shape)
    before, rows = snapshot(host), data(host)
    had = {table for table, *_ in before}
    world.install(host, twice=True)
    after = snapshot(host)
    lost = before - after
    assert {fact for fact in lost if not is_ours(fact)} == set(), "the host's own has changed"
    added = {fact for fact in after - before if fact[0] in had}
    assert {fact for fact in added if not is_ours(fact)} == set()
    kept = {table: found for table, found in data(host).items() if table in had}
    assert kept == rows
    assert world.column(host, "select jobsdb.adoption_steps()") == []
    assert one(host, "select bool_and(convalidated) from pg_constraint where conname ~ '^jobsdb_'")
    made = dict(
        host.execute("select table_name, made_by_jobsdb from jobsdb.host_tables").fetchall()
    )
    assert made == {name: name not in had for name in ("kanban_cards", "agent_runs")}
    exercise(host, org_of_runs="org_id" in world.columns_of(host, "public.agent_runs"))


@pytest.mark.parametrize(("shape", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_host_of_an_impossible_shape_is_refused_with_the_reason(
    half: psycopg.Connection, shape: str, reason: str
) -> None:
    with half.transaction(force_rollback=True):
        half.execute(shape)
        before, rows = snapshot(half), data(half)
        with refused(half, "JB092", "tables cannot carry the links to jobs") as info:
            adopt(half)
        assert reason in (info.value.diag.message_detail or "")
        assert snapshot(half) == before
        assert data(half) == rows


def test_all_reasons_are_told_at_once(half: psycopg.Connection) -> None:
    with half.transaction(force_rollback=True):
        half.execute(PLAIN.replace("org_id uuid", "org_id text").replace("type text,", ""))
        half.execute(RUNS.replace("status text", "status text, job_id text"))
        with refused(half, "JB092") as info:
            adopt(half)
        detail = info.value.diag.message_detail or ""
        for reason in ("kanban_cards.org_id is text", "no column type", "agent_runs.job_id is"):
            assert reason in detail


@pytest.mark.parametrize(
    "change",
    [
        "alter table public.kanban_cards owner to somebody_else_of_the_tests",
        "alter table public.kanban_cards enable row level security, force row level security",
    ],
)
def test_a_host_table_whose_rows_the_deployer_would_not_see_is_refused(
    half: psycopg.Connection, change: str
) -> None:
    """Our counts would silently be 0."""
    with half.transaction(force_rollback=True):
        half.execute("create role deployer_of_the_tests")
        half.execute("create role somebody_else_of_the_tests")
        half.execute(PLAIN + RUNS)
        half.execute("alter table public.kanban_cards owner to deployer_of_the_tests")
        half.execute("alter table public.agent_runs owner to deployer_of_the_tests")
        half.execute(change)
        half.execute("grant usage on schema jobsdb to deployer_of_the_tests")
        half.execute("grant all on all tables in schema jobsdb, public to deployer_of_the_tests")
        half.execute(
            "do $$ declare t regclass; begin for t in select c.oid from pg_class c where"
            " c.relnamespace = 'jobsdb'::regnamespace and c.relkind = 'r' loop"
            " execute format('alter table %s owner to deployer_of_the_tests', t);"
            " end loop; end $$"
        )
        half.execute("set local role deployer_of_the_tests")
        with refused(half, "JB092", "tables cannot carry the links to jobs") as info:
            adopt(half)
        detail = info.value.diag.message_detail or ""
        assert "belongs to somebody_else" in detail or "forces row-level security" in detail


def test_a_large_host_table_keeps_working_and_is_finished_later(host: psycopg.Connection) -> None:
    host.execute(PLAIN + CARD_ROWS + RUNS + RUN_ROWS)
    with host.transaction():
        world.begin_install(host)
        for file in load():
            world.send(host, file)
        host.execute("select jobsdb.adopt_in_place(3)")
    steps = world.column(host, "select jobsdb.adoption_steps()")
    assert [step for step in steps if "create index concurrently" in step]
    assert [step for step in steps if "validate constraint" in step]
    exercise(host)
    host.execute("create index jobsdb_cards_of_job on kanban_cards (job_id) where job_id > job_id")
    host.execute("update pg_index set indisvalid = false where indexrelid = 'jobsdb_cards_of_job'::regclass")  # fmt: skip # noqa: E501
    for _ in range(9):
        steps = world.column(host, "select jobsdb.adoption_steps()")
        for step in steps[:1]:
            host.execute(step)
    assert steps == []
    assert one(host, "select bool_and(indisvalid) from pg_index")
    exercise(host)


# ----------------------------------------------------------------- the host changes its own columns


@pytest.fixture
def adopted(host: psycopg.Connection) -> psycopg.Connection:
    host.execute(PLAIN + CARD_ROWS + RUNS + RUN_ROWS)
    world.install(host)
    return host


CHANGES = [
    "alter table kanban_cards add column urgency int not null default 3",
    "alter table kanban_cards drop column urgency",
    "create type card_state as enum ('todo', 'in_review', 'approved', 'rejected', 'done')",
    "alter table kanban_cards alter column state drop default,"
    " alter column state type card_state using state::card_state",
    "alter table kanban_cards alter column content type json",
    "alter table kanban_cards alter column type type varchar(50), add column added text",
    "alter table kanban_cards alter column state type varchar(30)",
    "alter table kanban_cards alter column content type text, alter column title type varchar(99)",
    "alter table kanban_cards alter column content type jsonb using content::jsonb",
    "alter table kanban_cards alter column state type text, alter column state set default 'todo'",
    "alter table kanban_cards add column more text generated always as (type || 'x') stored",
    "alter table kanban_cards drop column more, drop column added, add column added jsonb",
    "alter table kanban_cards rename column title to headline",
    "alter table kanban_cards rename column headline to title",
    "alter table agent_runs add column cost numeric, alter column status type varchar(10)",
    "alter table agent_runs drop column cost",
]


def test_the_host_changes_its_own_columns_while_sessions_have_cached_plans(
    adopted: psycopg.Connection,
) -> None:
    """After every change: in the session that made it, and in one that worked before."""
    with psycopg.connect(
        adopted.info.dsn, host=adopted.info.host, port=adopted.info.port, autocommit=True
    ) as other:
        for _ in range(6):  # so that generic plans are cached
            exercise(other)
            exercise(adopted)
        for change in CHANGES:
            adopted.execute(change)
            if "to headline" not in change:
                exercise(adopted)
                exercise(other)


def test_the_host_changes_its_own_columns_between_two_edits_of_one_transaction(
    adopted: psycopg.Connection,
) -> None:
    """An edit of an approved card rewrites the row from JSON: it must know the row's new shape."""
    with adopted.transaction():
        job = world.new_job(adopted)
        card = world.new_card(adopted, job, "approved")
        change = "update kanban_cards set content = %s where id = %s returning *"
        assert row(adopted, change, '{"n": 0}', card)["state"] == "in_review"
        for number, alter in enumerate(CHANGES, 1):
            adopted.execute("set constraints all immediate")
            adopted.execute(alter)
            if "to headline" in alter or alter.startswith("create type"):
                continue
            world.move_card(adopted, card, "approved")
            found = row(adopted, change, f'{{"n": {number}}}', card)
            assert found["state"] == "in_review", alter
            content = found["content"]
            assert str(content).replace("'", '"') == f'{{"n": {number}}}', alter
            assert (found["org_id"], found["job_id"]) == (A, job), alter
    world.check_counters(adopted)


def test_a_host_that_drops_what_we_read_is_still_counted(adopted: psycopg.Connection) -> None:
    """Type, title and content may go; without a state every card waits."""
    job = world.new_job(adopted)
    card = world.new_card(adopted, job, "approved")
    for name in ("content", "title", "type", "state"):
        adopted.execute(f"alter table kanban_cards drop column {name}")
        with as_tenant(adopted, A):
            adopted.execute("update kanban_cards set task_id = null where id = %s", [card])
            adopted.execute("select * from get_job_cards(%s)", [job])
            adopted.execute("select * from job_metrics_live")
            adopted.execute("insert into kanban_cards (org_id, job_id) values (%s, %s)", [A, job])
    adopted.execute("select refresh_job_metrics()")
    assert one(adopted, "select cards_total from jobs where id = %s", job) == 5


# ---------------------------------------------------------------------------- triggers of the host

HOST_TRIGGER = """
create function public.host_trigger() returns trigger language plpgsql as $$
begin
  {}
  return new;
end $$;
create trigger {} before insert or update on public.kanban_cards
for each row execute function public.host_trigger()
"""


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
def test_a_trigger_of_the_host_cannot_approve_for_an_agent(
    adopted: psycopg.Connection, name: str
) -> None:
    job = world.new_job(adopted)
    card = world.new_card(adopted, job)
    adopted.execute(
        HOST_TRIGGER.format("if new.title = 'magic' then new.state := 'approved'; end if;", name)
    )
    change = "update kanban_cards set title = 'magic' where id = %s"
    with as_service(adopted), refused(adopted, "JB003", "cannot be approved by nobody"):
        adopted.execute(change, [card])
    with as_service(adopted), refused(adopted, "JB003", 'a new card cannot be "approved"'):
        adopted.execute(
            "insert into kanban_cards (org_id, job_id, title) values (%s, %s, 'magic')", [A, job]
        )
    with as_tenant(adopted, A):
        adopted.execute(change, [card])
    assert world.counters(adopted, job) == {"cards_total": 1, "cards_approved": 1}


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
def test_a_trigger_of_the_host_cannot_change_what_was_approved(
    adopted: psycopg.Connection, name: str
) -> None:
    job = world.new_job(adopted)
    card = world.new_card(adopted, job, "approved")
    adopted.execute(HOST_TRIGGER.format('new.content := \'{"to": "evil"}\';', name))
    for change in (
        "update kanban_cards set state = 'done' where id = %s",
        "update kanban_cards set task_id = null where id = %s",
    ):
        with adopted.transaction(force_rollback=True), as_service(adopted):
            try:
                with adopted.transaction():
                    adopted.execute(change, [card])
            except psycopg.Error as error:
                refusal = error.sqlstate
            else:
                refusal = one(adopted, "select state from kanban_cards where id = %s", card)
            assert refusal in ("JB003", "in_review"), change


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
def test_what_a_person_approves_is_what_the_host_s_triggers_make_of_it(
    adopted: psycopg.Connection, name: str
) -> None:
    job = world.new_job(adopted)
    adopted.execute(
        HOST_TRIGGER.format("new.content := jsonb_strip_nulls(new.content::jsonb);", name)
    )
    card, same = world.new_card(adopted, job), world.new_card(adopted, job)
    plain = '{"to": "x"}'
    with as_tenant(adopted, A):
        adopted.execute(
            "update kanban_cards set state = 'approved', content = %s where id = %s",
            ['{"to": "x", "cc": null}', card],
        )
        adopted.execute(
            "update kanban_cards set state = 'approved', content = %s where id = %s", [plain, same]
        )
    assert one(adopted, "select count(distinct content_hash) from jobsdb.card_reviews") == 1
    with as_service(adopted):
        world.move_card(adopted, card, "done")


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
def test_a_trigger_of_the_host_that_drops_or_relinks_rows_is_counted_right(
    adopted: psycopg.Connection, name: str
) -> None:
    job, other = world.new_job(adopted), world.new_job(adopted)
    adopted.execute(
        HOST_TRIGGER.format(
            "if new.title = 'drop' then return null; end if;"
            f" if new.title = 'move' then new.job_id := '{other}'; end if;"
            " if new.title = 'loose' then new.job_id := null; end if;",
            name,
        )
    )
    for title in ("drop", "move", "loose", "stay"):
        card = world.new_card(adopted, job)
        adopted.execute("update kanban_cards set title = %s where id = %s", [title, card])
    world.check_counters(adopted)
    assert world.counters(adopted, other) == {"cards_total": 1, "cards_in_review": 1}
    assert world.counters(adopted, job)["cards_total"] == 2


def test_a_trigger_of_the_host_cannot_link_to_another_organisation(
    adopted: psycopg.Connection,
) -> None:
    foreign = world.new_job(adopted, B)
    job = world.new_job(adopted)
    adopted.execute(
        HOST_TRIGGER.format(f"if new.title = 'x' then new.job_id := '{foreign}'; end if;", "zzz")
    )
    with as_tenant(adopted, A):
        with pytest.raises(psycopg.Error) as info, adopted.transaction():
            adopted.execute(
                "insert into kanban_cards (org_id, job_id, title) values (%s, %s, 'x')", [A, job]
            )
        assert info.value.sqlstate in ("JB020", "23503")


# --------------------------------------------------- a host whose own tables are open to everybody


@pytest.fixture
def open_host(adopted: psycopg.Connection) -> psycopg.Connection:
    """No row-level security on the host's tables: its rows are open, what is ours is not."""
    return adopted


def test_on_an_open_host_strangers_neither_approve_nor_link_nor_unlink(
    open_host: psycopg.Connection,
) -> None:
    job, task = (j := world.new_job(open_host)), world.new_task(open_host, j)
    card, approved = world.new_card(open_host, job), world.new_card(open_host, job, "approved")
    theirs = world.new_card(open_host, None)
    run = one(
        open_host, "insert into agent_runs (org_id, job_id) values (%s, %s) returning id", A, job
    )
    mine = world.new_job(open_host, B)
    values = {"job": job, "task": task, "card": card, "approved": approved, "theirs": theirs}
    values |= {"a": A, "b": B, "mine": mine, "run": run}
    allowed = []
    with as_tenant(open_host, B):
        for attempt in (
            "update kanban_cards set state = 'approved' where id = %(card)s",
            "update kanban_cards set state = 'rejected' where id = %(approved)s",
            "update kanban_cards set state = 'done' where id = %(approved)s",
            "insert into kanban_cards (org_id, job_id) values (%(a)s, %(job)s)",
            "insert into kanban_cards (org_id, job_id) values (%(b)s, %(job)s)",
            "insert into kanban_cards (org_id, task_id) values (%(a)s, %(task)s)",
            "update kanban_cards set job_id = %(job)s where id = %(theirs)s",
            "update kanban_cards set job_id = null where id = %(card)s",
            "update kanban_cards set task_id = %(task)s where id = %(card)s",
            "update kanban_cards set org_id = %(b)s, job_id = %(mine)s where id = %(approved)s",
            "update kanban_cards set org_id = %(b)s, job_id = null where id = %(approved)s",
            "insert into agent_runs (org_id, job_id) values (%(a)s, %(job)s)",
            "update agent_runs set job_id = null where id = %(run)s",
            "update agent_runs set org_id = %(b)s, job_id = %(mine)s where id = %(run)s",
        ):
            sqlstate = None
            try:
                with open_host.transaction(force_rollback=True):
                    open_host.execute(attempt, values)
            except psycopg.Error as error:
                sqlstate = error.sqlstate
            if sqlstate != "JB020":
                allowed.append((attempt, sqlstate))
        assert open_host.execute("select * from get_job_cards(%s)", [job]).fetchall() == []
        assert open_host.execute("select * from job_metrics").fetchall() == []
    assert allowed == []
    world.check_counters(open_host)


def test_the_back_end_of_a_host_works_on_its_own_columns_of_linked_rows(
    adopted: psycopg.Connection,
) -> None:
    """A role that is neither tenant nor agent: what is not ours is the host's business."""
    job = world.new_job(adopted)
    card, approved = world.new_card(adopted, job), world.new_card(adopted, job, "approved")
    run = one(
        adopted, "insert into agent_runs (org_id, job_id) values (%s, %s) returning id", A, job
    )
    adopted.execute("alter table kanban_cards add column board int")
    with adopted.transaction(force_rollback=True):
        adopted.execute("create role backend_of_the_tests")
        adopted.execute("grant all on kanban_cards, agent_runs to backend_of_the_tests")
        with as_role(adopted, "backend_of_the_tests", {}):
            adopted.execute("update kanban_cards set board = 2")
            adopted.execute("update kanban_cards set title = 'x' where id = %s", [card])
            adopted.execute("update kanban_cards set state = 'rejected' where id = %s", [card])
            adopted.execute("update kanban_cards set state = 'done' where id = %s", [approved])
            adopted.execute("update agent_runs set status = 'ended' where id = %s", [run])
            with refused(adopted, "JB020", "was not found or is not yours"):
                adopted.execute("insert into agent_runs (org_id, job_id) values (%s, %s)", [A, job])
        world.check_counters(adopted)


def test_linked_rows_without_an_organisation_are_refused(host: psycopg.Connection) -> None:
    """A null organisation would pass the composite key unchecked, and dangle when the job goes."""
    host.execute(ADOPTED["organisation may be null"])
    world.install(host)
    job = world.new_job(host)
    for table in ("kanban_cards", "agent_runs"):
        for who in (as_service(host), host.transaction()):
            with who, pytest.raises(psycopg.Error) as info, host.transaction():
                host.execute(f"insert into {table} (org_id, job_id) values (null, %s)", [job])
            assert info.value.sqlstate in ("JB020", "23514"), table
            with host.transaction():
                host.execute(f"insert into {table} (org_id, job_id) values (null, null)")
    with world.forced(host), refused(host, "23514", "jobsdb_linked_card_has_org"):
        host.execute("insert into kanban_cards (org_id, job_id) values (null, %s)", [job])


@pytest.mark.parametrize("shape", [RUNS, NO_ORG_RUNS, NULLABLE_ORG_RUNS])
def test_a_run_tells_a_foreign_job_from_an_unknown_one_in_no_shape(
    host: psycopg.Connection, shape: str
) -> None:
    host.execute(PLAIN + shape)
    world.install(host)
    foreign = world.new_job(host)
    told = []
    with as_tenant(host, B):
        for job in (world.UNKNOWN, foreign, world.UNKNOWN):
            for query in (
                "insert into agent_runs (job_id) values (%s)",
                f"insert into agent_runs (job_id, org_id) values (%s, '{B}')",
            ):
                if "org_id" in query and shape is NO_ORG_RUNS:
                    continue
                with pytest.raises(psycopg.Error) as info, host.transaction():
                    host.execute(query, [job])
                diag = info.value.diag
                texts = (diag.message_primary, diag.message_detail, diag.message_hint)
                told.append(
                    (diag.sqlstate, *(text and text.replace(str(job), "<id>") for text in texts))
                )
    assert len(set(told)) == 1, told


def test_a_truncated_host_table_counts_nothing(adopted: psycopg.Connection) -> None:
    job, other = world.new_job(adopted), world.new_job(adopted, B)
    world.new_card(adopted, job, "approved")
    world.new_card(adopted, other, "todo", org=B)
    world.new_task(adopted, job, "done")
    adopted.execute("truncate kanban_cards")
    assert world.counters(adopted, job) == {"tasks_total": 1, "tasks_done": 1}
    assert world.counters(adopted, other) == {}
    world.check_counters(adopted)


def test_nothing_of_ours_names_a_column_of_the_host(adopted: psycopg.Connection) -> None:
    """No view, matview, policy, index or atomic body depends on more than the four columns."""
    depends = adopted.cursor(row_factory=dict_row).execute(
        "select distinct a.attname, d.classid::regclass::text, d.objid"
        " from pg_depend d join pg_attribute a"
        " on a.attrelid = d.refobjid and a.attnum = d.refobjsubid"
        " where d.refobjid in ('kanban_cards'::regclass, 'agent_runs'::regclass)"
        " and d.refobjsubid > 0 and a.attname not in ('id', 'org_id', 'job_id', 'task_id')"
        " and d.deptype in ('n', 'a') and d.classid <> 'pg_attrdef'::regclass"
        " and not exists (select from pg_constraint c where c.oid = d.objid"
        " and d.classid = 'pg_constraint'::regclass and c.conname !~ '^jobsdb_')"
    )
    assert depends.fetchall() == []


FOREIGN: dict[str, str] = {
    "a table jobs": "create table public.jobs (id int)",
    "a view job_metrics": "create view public.job_metrics as select 1 as x",
    "a function of ours": (
        "create function public.cancel_job(text) returns int language sql as 'select 1'"
    ),
    "a type of ours": "create type public.job_status as enum ('a')",
    "the schema": "create schema jobsdb",
    "an older system made by hand": (
        "create table public.jobs (id int); create table public.job_tasks (id int)"
    ),
}


@pytest.mark.parametrize("statement", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_object_in_the_way_is_named_and_nothing_is_changed(
    host: psycopg.Connection, statement: str
) -> None:
    host.execute(statement)
    found = "select string_agg(oid::text, ',' order by oid) from pg_class"
    before = one(host, found)
    with refused(host, "JB092", "objects that are not ours stand where jobsdb would") as info:
        world.install(host)
    name = "jobsdb" if "schema" in statement else statement.split("public.")[1].split("(")[0]
    assert name.split()[0] in (info.value.diag.message_detail or "")
    if "job_tasks" in statement:
        assert "older jobs system made by hand" in (info.value.diag.message_detail or "")
    assert one(host, found) == before


def test_migrations_refuse_to_run_by_hand(host: psycopg.Connection) -> None:
    run: Callable[[str], object] = host.execute
    for file in load():
        if file.kind == "migration":
            with refused(host, "JB090", "this migration cannot be run by hand"):
                run(file.text)
            with host.transaction(force_rollback=True):
                host.execute("select set_config('jobsdb.runner', '1', true)")
                with refused(host, "JB090", "this migration cannot be run by hand"):
                    run(file.text)
