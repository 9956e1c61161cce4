"""A database as Supabase hands it out: no superuser deploys; auth and roles belong to others.

Default privileges grant everything on whatever is created to everybody; PostgREST logs in as
``authenticator`` and takes the role of the JWT. The server is one of its own, because roles belong
to a whole server.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import world
from helpers import BINDIR, as_anon, as_role, as_service, as_tenant, new_database, refused
from jobsdb import local
from jobsdb.deploy.migrate import migrate
from jobsdb.local import Server
from test_contract import EXAMPLE_CARD, EXAMPLE_JOB, EXAMPLE_TASKS, filled
from test_host_tables import CARD_ROWS, PLAIN, RICH, RUN_ROWS, RUNS, data, is_ours, snapshot
from world import A, B, column, one, row, rows

CLUSTER = """
create role supabase_auth_admin nologin noinherit createrole;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
create role supabase_admin login superuser;
create role installer login createdb createrole bypassrls;
create role humble_installer login bypassrls;
grant anon, authenticated, service_role to installer;
"""
DATABASE = """
create schema auth authorization supabase_auth_admin;
grant usage on schema auth to anon, authenticated, service_role, installer, humble_installer;
create function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;
create function auth.role() returns text language sql stable as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
$$;
alter function auth.uid() owner to supabase_auth_admin;
alter function auth.role() owner to supabase_auth_admin;
create schema extensions;
grant usage on schema public to anon, authenticated, service_role;
"""
GRANTS_BY_DEFAULT = """
alter default privileges for role {0} in schema public
grant all on tables to anon, authenticated, service_role;
alter default privileges for role {0} in schema public
grant all on functions to anon, authenticated, service_role;
alter default privileges for role {0} in schema public
grant all on sequences to anon, authenticated, service_role;
"""
EVERYWHERE_BY_DEFAULT = """
alter default privileges for role {0} grant all on tables to anon, authenticated;
alter default privileges for role {0} grant all on functions to anon, authenticated;
alter default privileges for role {0} grant all on sequences to anon, authenticated;
alter default privileges for role {0} grant all on types to anon, authenticated;
alter default privileges for role {0} grant all on schemas to anon, authenticated;
"""
INSTALLERS = {
    "owns the database": ("installer", "alter database {} owner to installer"),
    "may create in the database": (
        "installer",
        "grant create on database {} to installer; grant create on schema public to installer",
    ),
    "has nothing to do with the roles": (
        "humble_installer",
        "grant create on database {} to humble_installer;"
        " grant create on schema public to humble_installer",
    ),
    "grants everything in every schema": (
        "installer",
        "alter database {} owner to installer;" + EVERYWHERE_BY_DEFAULT.format("installer"),
    ),
}
one_installer = pytest.mark.parametrize("database", ["owns the database"], indirect=True)
ACLS = """
with ours as (
  select n.oid, n.nspname from pg_namespace n where n.nspname in ('public', 'jobsdb')
)
select 'relation', format('%s.%s', n.nspname, c.relname), a.grantee, a.privilege_type
from pg_class c join ours n on n.oid = c.relnamespace,
  aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char",
    c.relowner))) a
where a.grantee <> c.relowner and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
union all
select 'column', format('%s.%s.%s', n.nspname, c.relname, t.attname), a.grantee, a.privilege_type
from pg_attribute t join pg_class c on c.oid = t.attrelid join ours n on n.oid = c.relnamespace,
  aclexplode(t.attacl) a
where a.grantee <> c.relowner
union all
select 'function', format('%s.%s', n.nspname, p.proname), a.grantee, a.privilege_type
from pg_proc p join ours n on n.oid = p.pronamespace,
  aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
where a.grantee <> p.proowner
union all
select 'schema', n.nspname, a.grantee, a.privilege_type
from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
where a.grantee <> n.nspowner and n.nspname = 'jobsdb'
"""


@pytest.fixture(scope="module")
def cluster(scratch: Path) -> Server:
    """A server whose roles a superuser has made; ``scratch`` stops it."""
    server = local.start("supabase", {"fsync": "off"}, BINDIR, scratch)
    with psycopg.connect(server.url(), autocommit=True) as conn:
        if not one(conn, "select to_regrole('installer')"):  # another module has asked for it
            conn.execute(CLUSTER)
    return server


@pytest.fixture(params=INSTALLERS)
def database(cluster: Server, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The URL of a Supabase-like database and the name of its deployer."""
    installer, allow = INSTALLERS[request.param]
    with new_database(cluster) as address, psycopg.connect(address, autocommit=True) as conn:
        conn.execute(DATABASE)
        conn.execute(allow.format(f'"{conn.info.dbname}"'))
        conn.execute(GRANTS_BY_DEFAULT.format(installer))
        yield address, installer
        conn.execute(f"drop owned by {installer} cascade")


@pytest.fixture
def supabase(database: tuple[str, str]) -> Iterator[psycopg.Connection]:
    """A connection of the deployer."""
    address, installer = database
    with psycopg.connect(address, user=installer, autocommit=True) as conn:
        assert not one(conn, "select rolsuper from pg_roles where rolname = current_user")
        yield conn


@pytest.fixture
def gateway(
    database: tuple[str, str], supabase: psycopg.Connection
) -> Iterator[psycopg.Connection]:
    """A connection of PostgREST to a database in which the deployer has installed jobsdb."""
    world.install(supabase, twice=True)
    with psycopg.connect(
        database[0], user="authenticator", autocommit=True, prepare_threshold=None
    ) as conn:
        yield conn


def acls(conn: psycopg.Connection) -> set[tuple[Any, ...]]:
    return set(
        conn.execute(
            f"select t.kind, t.name, coalesce(r.rolname, 'PUBLIC'), t.privilege from ({ACLS})"
            " as t (kind, name, grantee, privilege) left join pg_roles r on r.oid = t.grantee"
        ).fetchall()
    )


def test_the_deployer_installs_it_and_grants_exactly_what_is_granted_elsewhere(
    supabase: psycopg.Connection, db: psycopg.Connection
) -> None:
    """The defaults give everything to everybody; nothing of that may be left."""
    world.install(supabase, twice=True)
    assert acls(supabase) == acls(db)
    assert {grantee for _, _, grantee, _ in acls(supabase)} == {"authenticated", "service_role"}
    owners = column(
        supabase,
        "select distinct pg_get_userbyid(relowner) from pg_class"
        " where relnamespace in ('public'::regnamespace, 'jobsdb'::regnamespace)",
    )
    assert owners == [one(supabase, "select current_user")]


def test_the_command_deploys_there_too(database: tuple[str, str]) -> None:
    address, installer = database
    url = address.replace("postgres@", f"{installer}@", 1)
    first = migrate(url)
    assert len(first.applied) == 5
    assert migrate(url).applied == ()


@one_installer
def test_identity_is_left_to_whom_it_belongs(supabase: psycopg.Connection) -> None:
    found = "select oid, proowner::regrole::text, prosrc from pg_proc where proname = 'uid'"
    before = rows(supabase, found)
    world.install(supabase, twice=True)
    assert rows(supabase, found) == before
    assert before[0]["proowner"] == "supabase_auth_admin"
    assert one(
        supabase,
        "select count(*) from pg_class where relnamespace = 'auth'::regnamespace",
    ) == 0  # fmt: skip


def test_a_campaign_runs_through_the_gateway(
    gateway: psycopg.Connection, supabase: psycopg.Connection
) -> None:
    with as_tenant(gateway, A):
        job = one(gateway, EXAMPLE_JOB)
        gateway.execute(filled(EXAMPLE_TASKS, job))
        task = one(gateway, "select id from job_tasks where step = 1")
        gateway.execute(filled("select transition_job_status('<uuid>', 'running')", job))
        gateway.execute(filled(EXAMPLE_CARD, job, task))
        card = one(gateway, "select id from kanban_cards")
    with as_service(gateway):
        assert one(gateway, "select count(*) from jobs") == 1
        world.move_task(gateway, task, "running")
        world.move_task(gateway, task, "done")
        with refused(gateway, "JB003", "cannot be approved by nobody"):
            world.move_card(gateway, card, "approved")
    with as_tenant(gateway, A):
        world.move_card(gateway, card, "approved")
    with as_service(gateway):
        world.move_card(gateway, card, "done")
        gateway.execute("update job_tasks set status = 'skipped' where step = 2")
        gateway.execute("select transition_job_status(%s, 'succeeded')", [job])
        assert one(gateway, "select refresh_job_metrics()")
    assert one(supabase, "select refresh_job_metrics()"), "pg_cron runs as the deployer"
    with as_tenant(gateway, A):
        metrics = row(gateway, "select * from job_metrics where job_id = %s", job)
        assert (metrics["emails_sent"], metrics["approval_rate"]) == (1, 1)
        progress = row(gateway, "select * from get_job_progress(job_id => %s)", job)
        assert (progress["tasks_done"], progress["tasks_skipped"]) == (1, 1)
        assert len(rows(gateway, "select * from get_job_cards(%s)", job)) == 1
        assert row(gateway, "select * from job_performance_summary")["jobs_succeeded"] == 1
        assert len(rows(gateway, "select * from recent_job_activity")) == 4
    world.check_counters(supabase)


def test_strangers_see_nothing_through_the_gateway(
    gateway: psycopg.Connection, supabase: psycopg.Connection
) -> None:
    job = world.new_job(supabase)
    world.new_task(supabase, job)
    world.new_card(supabase, job)
    supabase.execute("select refresh_job_metrics()")
    relations = column(
        supabase,
        "select format('%%s.%%s', n.nspname, c.relname) from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('public', 'jobsdb') and c.relkind in ('r', 'v', 'm')",
    )
    for who, sees in ((as_tenant(gateway, B), True), (world.as_nobody(gateway), True),
                      (as_anon(gateway), False), (gateway.transaction(), False)):  # fmt: skip
        with who:
            for relation in relations:
                if sees and relation.startswith("public."):
                    assert rows(gateway, f"select * from {relation}") == [], relation
                else:
                    with refused(gateway, "42501", "permission denied"):
                        gateway.execute(f"select * from {relation}")
            for call in ("cancel_job(%s)", "pause_job(%s)"):
                with refused(gateway, "JB020" if sees else "42501"):
                    gateway.execute(f"select public.{call}", [job])
            for statement in (
                "truncate public.jobs cascade",
                "select setval('public.job_tasks_id_seq', 1)",
                "create trigger t before update on public.jobs for each row"
                " execute function suppress_redundant_updates_trigger()",
                "lock table public.jobs in access exclusive mode",
                "select public.refresh_job_metrics()",
            ):
                with refused(gateway, "42501"):
                    gateway.execute(statement)


@one_installer
def test_a_host_there_is_adopted_with_its_policies(
    database: tuple[str, str], supabase: psycopg.Connection
) -> None:
    supabase.execute("create schema if not exists host")
    supabase.execute(RICH.replace("create schema host;", "") + CARD_ROWS + RUNS + RUN_ROWS)
    before, kept = snapshot(supabase), data(supabase)
    world.install(supabase, twice=True)
    assert {fact for fact in snapshot(supabase) ^ before if not is_ours(fact)} == set()
    assert data(supabase) == kept
    with psycopg.connect(database[0], user="authenticator", autocommit=True) as gateway:
        job = world.new_job(supabase)
        with as_tenant(gateway, A):
            card = one(gateway, "select id from kanban_cards limit 1")
            gateway.execute("update kanban_cards set job_id = %s where id = %s", [job, card])
            world.move_card(gateway, card, "approved")
            assert len(rows(gateway, "select * from get_job_cards(%s)", job)) == 1
        with as_tenant(gateway, B):
            assert rows(gateway, "select * from kanban_cards") == []
            assert rows(gateway, "select * from get_job_cards(%s)", job) == []
    world.check_counters(supabase)
    supabase.execute("drop schema host cascade")


@one_installer
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (PLAIN, "public.kanban_cards belongs to supabase_admin"),
        (RUNS, "public.agent_runs belongs to supabase_admin"),
    ],
)
def test_a_table_of_somebody_else_is_refused_with_its_owner(
    database: tuple[str, str], supabase: psycopg.Connection, statement: str, reason: str
) -> None:
    with psycopg.connect(database[0], user="supabase_admin", autocommit=True) as admin:
        admin.execute(statement)
        with refused(supabase, "JB092", "tables cannot carry the links to jobs") as info:
            world.install(supabase)
        assert reason in (info.value.diag.message_detail or "")
        admin.execute("drop table if exists public.kanban_cards, public.agent_runs")


def test_a_deployer_that_may_not_create_is_told_so(
    cluster: Server, connect: Callable[..., psycopg.Connection]
) -> None:
    with new_database(cluster) as address, psycopg.connect(address, autocommit=True) as admin:
        admin.execute(DATABASE)
        with (
            psycopg.connect(address, user="humble_installer", autocommit=True) as conn,
            refused(conn, "42501", "permission denied"),
        ):
            world.install(conn)
        assert one(admin, "select to_regnamespace('jobsdb')") is None


@one_installer
def test_the_login_of_the_gateway_alone_is_nobody(
    gateway: psycopg.Connection, supabase: psycopg.Connection
) -> None:
    """It belongs to all three roles, but inherits none of them."""
    job = world.new_job(supabase)
    with refused(gateway, "42501", "permission denied"):
        gateway.execute("select * from public.jobs")
    with refused(gateway, "42501", "permission denied"):
        gateway.execute("select public.cancel_job(%s)", [job])
    with (
        as_role(gateway, "authenticated", {"role": "service_role"}),
        refused(gateway, "JB020", "was not found or is not yours"),
    ):
        gateway.execute("select cancel_job(%s)", [job])
