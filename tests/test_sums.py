"""Sums over tasks: right whatever tasks do, in every snapshot, after a crash, and cheap."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from helpers import BINDIR, as_tenant, new_database
from jobsdb import local, pgbin
from jobsdb.deploy.migrate import migrate
from stepping import WRONG, Stage, open_stage
from test_metrics import REFRESH, metrics
from test_races import CHANGES, JOB_MOVES, OPERATIONS, STATEMENTS
from test_sends import deliver, queued
from test_verify import dump_and_restore
from test_workers import Worker
from world import A, column, new_job, new_task, one


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


# ----------------------------------------------------------- sums are exact, whatever tasks do


def wrong(conn: psycopg.Connection) -> list[str]:
    return [found[0] for found in conn.execute(WRONG)]


@contextmanager
def old_snapshot(url: str) -> Iterator[psycopg.Connection]:
    """A session that goes on seeing what there is now."""
    with psycopg.connect(url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert wrong(conn) == []
        yield conn
        conn.rollback()


class Crew:
    """Everybody who changes tasks, and the job they work on."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.names = stage.job()
        self.person = stage.session()
        self.owner = stage.session("none")
        self.agent = stage.session("service_role")
        self.worker = Worker(stage.session("service_role").conn)
        self.plan(8)
        self.worker.complete(self.work(max_tasks=2))

    def plan(self, tasks: int, **columns: Any) -> None:
        """Add tasks that wait for nothing, of two kinds, while the job is open."""
        columns = {"max_retries": 1, "scheduled_for": None, **columns}
        self.stage.watch.execute(
            "insert into job_tasks (job_id, batch, step, kind, depends_on, max_retries,"
            " scheduled_for) select j.id, 1, (select coalesce(max(step), 0) from job_tasks) + n,"
            " case n %% 2 when 0 then 'follow_up' else 'check_portal' end, '{}',"
            " %(max_retries)s, %(scheduled_for)s"
            " from jobs as j, generate_series(1, %(tasks)s) as n"
            " where j.id = %(job)s and j.status = 'running'",
            {**self.names, **columns, "tasks": tasks},
        )

    def say(self, *statements: str) -> None:
        for statement in statements:
            self.person.run(statement, self.names)

    def within(self, level: str, *statements: str, end: str = "commit") -> None:
        """One transaction of several statements; everybody looks after each."""
        self.person.begin(level)
        self.say(*statements)
        assert self.person.end(end) == "ok"

    def work(self, *, max_tasks: int = 1, lease: str = "1 minute") -> list[dict[str, Any]]:
        options = {"kinds": ["check_portal", "follow_up"], "lease": lease}
        return self.worker.claim(max_tasks, **options)

    def lose(self, *, max_tasks: int) -> None:
        assert len(self.work(max_tasks=max_tasks, lease="1 ms")) == max_tasks
        time.sleep(0.01)
        self.worker.tick()

    def lose_late(self) -> None:
        """A lease ends after its job, whose end has left its tasks to whoever held them then."""
        self.work(max_tasks=3, lease="1 ms")
        self.agent.begin()
        self.agent.run("select from public.job_tasks where status = 'running' for update")
        self.say(JOB_MOVES["fail"])
        assert self.agent.end() == "ok"
        assert one(self.stage.watch, "select jobsdb.rescue_tasks()") == 3

    def copy(self) -> None:
        into = "copy public.job_tasks (job_id, step, kind, depends_on, retry_count) from stdin"
        with self.stage.watch.cursor().copy(into) as copy:
            for n in range(50):
                copy.write_row([self.names["job"], 100 + n, "research", "{}", n])

    def close_large(self, name: str) -> None:
        """The job ends with more open tasks than are marked at once; one of them later on."""
        self.plan(1200)
        self.worker.complete(self.work(max_tasks=30))
        self.say(JOB_MOVES[name])
        open_tasks = "from job_tasks where status in ('pending', 'running') and job_id = %(job)s"
        left = self.stage.watch.execute(f"select count(*) {open_tasks}", self.names)
        assert left.fetchone()[0] > 100
        self.say(
            f"update job_tasks set status = 'skipped' where id = (select min(id) {open_tasks})"
        )
        self.stage.watch.execute("select jobsdb.finish_closed_jobs(50)")
        self.stage.look()
        self.stage.watch.execute("select jobsdb.finish_closed_jobs()")

    def campaign(self) -> None:
        """From the audience to the last e-mail, with what planners and settlers do to tasks."""
        conn = self.stage.watch
        queued(conn, "c1", "c2")
        deliver(conn)
        conn.execute("select tick()")
        conn.execute("update jobsdb.planned_jobs set next_at = now()")
        conn.execute("select tick()")


TASKS = "update job_tasks set {} where job_id = %(job)s and {}"
CHANGE = "insert into job_tasks (job_id, step, kind, depends_on) select %(job)s, n, 'research', "
CHANGE += "'{}' from generate_series(1, 20) as n on conflict (job_id, batch, step) do "
MERGE = """
merge into job_tasks as t using generate_series(1, 20) as s (step)
on t.job_id = %(job)s and t.batch = 0 and t.step = s.step
when matched and t.status = 'running' then update set status = 'done'
when matched and t.status = 'pending' then update set retry_count = 7
when not matched then insert (job_id, step, kind, depends_on)
values (%(job)s, s.step, 'create_deal', '{}')
"""
TIMES = "started_at = started_at - interval '5 s', finished_at = finished_at + interval '1 min'"
RETRY = "update job_tasks set status = 'pending', started_at = null, finished_at = null,"
RETRY += " retry_count = retry_count + 1 where id = %(error)s"
TRY = """
do $$
begin
  for n in 1..3 loop
    begin
      update public.job_tasks set status = 'running' where status = 'pending' and pos is not null;
      update public.job_tasks set status = 'done', retry_count = n where status = 'running';
      insert into public.job_tasks (job_id, step, kind)
      select id, 1000 + n, 'research' from public.jobs where status = 'running';
      if n < 3 then
        raise exception using errcode = 'P0001';
      end if;
    exception
      when raise_exception then null;
    end;
  end loop;
end;
$$
"""
SAVED = "savepoint a", CHANGES["error"], CHANGES["add"], "rollback to a", CHANGES["complete"]
SEVERAL = CHANGES["claim"], CHANGES["complete all"], CHANGES["add"], RETRY, CHANGES["skip"]
WAYS: dict[str, Callable[[Crew], object]] = {
    "one is added": lambda c: c.say(CHANGES["add"], CHANGES["add after all"]),
    "many of several kinds are added": lambda c: c.plan(500),
    "for later": lambda c: c.plan(4, scheduled_for="2999-01-01"),
    "on conflict do nothing": lambda c: c.say(CHANGE + "nothing"),
    "on conflict do update": lambda c: c.say(
        CHANGE + "update set status = 'done' where job_tasks.status in ('pending', 'running')"
    ),
    "on conflict they are tried again": lambda c: c.say(
        CHANGE + "update set status = 'pending', retry_count = 3 where job_tasks.status = 'error'"
    ),
    "merge": lambda c: c.say(MERGE),
    "copy": lambda c: c.copy(),
    **{
        name: lambda c, name=name: c.say(CHANGES[name])
        for name in (
            "complete",
            "complete unclaimed",
            "complete all",
            "claim",
            "release",
            "error",
            "retry",
            "skip",
        )
    },
    "there and back": lambda c: c.say(RETRY, CHANGES["claim"], RETRY.replace("error", "pending")),
    "a retry": lambda c: c.say(RETRY),
    "retries are edited": lambda c: c.say(
        TASKS.format("retry_count = step * 7", "true"), TASKS.format("retry_count = -3", "step < 4")
    ),
    "times are edited": lambda c: c.say(TASKS.format(TIMES, "true"), CHANGES["complete"]),
    "times of a task that then ends": lambda c: c.say(
        TASKS.format("started_at = '2020-01-01'", "status = 'running'"), CHANGES["complete"]
    ),
    "times with the end": lambda c: c.say(
        TASKS.format(
            "status = 'done', started_at = '2020-01-01', finished_at = '2020-01-02'",
            "status = 'running'",
        )
    ),
    "the scheduled time of an ended task": lambda c: c.say(
        TASKS.format("scheduled_for = now() + interval '1 h'", "true"),
        TASKS.format("scheduled_for = null", "true"),
    ),
    "the time of creation": lambda c: c.owner.run(
        TASKS.format("created_at = created_at - interval '1 h'", "true"), c.names
    ),
    "deleted": lambda c: c.agent.run("delete from job_tasks where id = %(done)s", c.names),
    "all deleted": lambda c: c.agent.run("delete from job_tasks where job_id = %(job)s", c.names),
    "deleted and added": lambda c: (
        c.agent.run("delete from job_tasks where id = %(done)s", c.names),
        c.plan(3),
        c.worker.complete(c.work(max_tasks=2)),
    ),
    "the job deleted": lambda c: c.agent.run(OPERATIONS["delete job"], c.names),
    "cancelled with many tasks": lambda c: c.close_large("cancel"),
    "failed with many tasks": lambda c: c.close_large("fail"),
    "worked on, one": lambda c: c.worker.complete(c.work()),
    "worked on, many": lambda c: c.worker.complete(c.work(max_tasks=6)),
    "worked on, in turn": lambda c: c.worker.next(c.worker.next(c.work()), max_tasks=3),
    "failed": lambda c: c.worker.fail(c.work(max_tasks=3)),
    "failed for good": lambda c: c.worker.fail(c.work(max_tasks=3), retry=False),
    "released": lambda c: c.worker.release(c.work(max_tasks=3)),
    "lost": lambda c: c.lose(max_tasks=3),
    "lost for good": lambda c: (c.lose(max_tasks=6), c.lose(max_tasks=3)),
    "lost after the end": lambda c: c.lose_late(),
    "the job tried again": lambda c: (
        c.worker.fail(c.work(max_tasks=3), retry=False),
        c.worker.value("retry_job", job_id=c.names["job"]),
    ),
    "repeatable read": lambda c: c.within("repeatable read", *SEVERAL),
    "serializable": lambda c: c.within("serializable", *SEVERAL),
    "one transaction": lambda c: c.within("read committed", *SEVERAL),
    "taken back": lambda c: c.within("read committed", *SEVERAL, end="rollback"),
    "a savepoint": lambda c: c.within("read committed", *SAVED),
    "a savepoint above read committed": lambda c: c.within("serializable", *SAVED),
    "subtransactions": lambda c: c.owner.run(TRY),
    "a campaign": lambda c: c.campaign(),
}


@pytest.mark.parametrize(
    "way",
    WAYS,
)
def test_sums_are_exact_whatever_happens_to_tasks(stage: Stage, way: str) -> None:
    """Before a refresh, after it, and in a snapshot that is older; with and without sums before."""
    for was_summed in (False, True):
        crew = Crew(stage)
        if was_summed:
            stage.watch.execute(REFRESH)
        with old_snapshot(stage.url) as before:
            WAYS[way](crew)
            stage.look()
            with old_snapshot(stage.url) as between:
                stage.watch.execute(REFRESH)
                assert wrong(between) == []
            assert wrong(before) == []
        stage.look()
        crew.plan(1)
        stage.watch.execute(REFRESH)
        stage.look()
        left = "select count(*) from jobsdb.task_moves"
        assert one(stage.watch, left) == 0, "or the second refresh has not added it up"
        stage.clear()


def test_truncated_tasks_are_in_no_sum(stage: Stage) -> None:
    crew = Crew(stage)
    crew.worker.complete(crew.work())
    for _ in range(2):
        stage.watch.execute("truncate public.job_tasks cascade")
        stage.look()
        crew.plan(5)
        crew.worker.complete(crew.work(max_tasks=2))
        stage.look()
        stage.watch.execute(REFRESH)
        stage.look()
    counts = "select tasks_total, tasks_completed, tasks_pending from job_metrics where job_id = "
    assert stage.watch.execute(counts + "%(job)s", crew.names).fetchone() == (5, 2, 3)


def test_whoever_refreshes_in_an_old_snapshot_loses_no_move(stage: Stage) -> None:
    names = stage.job()
    agent, operator = stage.session(), stage.session("service_role")
    for level in ("repeatable read", "serializable"):
        operator.begin(level)
        agent.run(TASKS.format("retry_count = retry_count + 1", "true"), names)
        operator.run(REFRESH)
        agent.run(TASKS.format("retry_count = retry_count + 1", "true"), names)
        assert operator.end() == "ok"
        stage.rest()
    agent.run(CHANGES["complete"], names)
    operator.begin("repeatable read")
    stage.watch.execute(REFRESH)
    assert operator.attempt(REFRESH) == "40001", "the other has added it up already"
    operator.end("rollback")
    stage.rest()


@pytest.mark.parametrize(
    "how",
    ["with tasks", "without tasks"],
)
def test_a_deleted_job_leaves_no_sums_after_a_refresh(stage: Stage, how: str) -> None:
    names = stage.job()
    stage.watch.execute(REFRESH)
    kept = "select count(*) from jobsdb.{} where job_id = %(job)s"
    assert stage.watch.execute(kept.format("task_rollups"), names).fetchone() == (1,)
    operator = stage.session("service_role")
    if how == "without tasks":
        operator.run("delete from public.job_tasks", names)
        stage.watch.execute(REFRESH)
    operator.run(OPERATIONS["delete job"], names)
    stage.watch.execute(REFRESH)
    for table in ("task_rollups", "task_moves", "frozen_job_metrics", "unfrozen_jobs"):
        assert stage.watch.execute(kept.format(table), names).fetchone() == (0,), table


# ------------------------------------------------------------------- crashes, standbys, dumps

LIVE = "select to_jsonb(m) - 'refreshed_at' from public.{} as m order by m.job_id"
SIZE = {"max_connections": "50"}


def jobs_in_every_condition(stage: Stage) -> None:
    """Open and ended jobs, with and without sums, with and without moves since."""
    agent = stage.session("service_role")

    def change(names: dict[str, Any]) -> None:
        agent.run(CHANGES["complete"], names)
        agent.run(CHANGES["retry"], names)
        agent.run(CHANGES["add"], names)
        agent.run("delete from public.job_tasks where id = %(after)s", names)

    summed, moved, ended, ended_since = (stage.job() for _ in range(4))
    agent.run(JOB_MOVES["cancel"], ended)
    stage.watch.execute(REFRESH)
    change(moved)
    agent.run(CHANGES["complete"], ended_since)
    agent.run(JOB_MOVES["fail"], ended_since)
    never = stage.job()
    change(never)
    assert summed != never


def check_afterwards(stage: Stage, before: list[Any]) -> None:
    """Everything is right at once, while others work, and for good, with or without moves."""
    stage.look()
    assert stage.watch.execute(LIVE.format("job_metrics_live")).fetchall() == before
    agent = stage.session()
    names = stage.job()
    agent.run(CHANGES["complete"], names)
    stage.rest()
    both = [
        stage.watch.execute(LIVE.format(v)).fetchall() for v in ("job_metrics_live", "job_metrics")
    ]
    assert both[0] == both[1]
    assert [found for found in both[0] if found in before] == before
    agent.run(CHANGES["error"] + " and status = 'running'", names)
    agent.run(CHANGES["complete unclaimed"], names)
    assert one(stage.watch, "select count(*) from jobsdb.task_moves") > 0
    stage.rest()


@pytest.fixture(scope="module")
def start_own(scratch: Path) -> Callable[[], local.Server]:
    """Return what starts a server that may be killed, with jobsdb in it; `scratch` stops it."""

    def start() -> local.Server:
        return local.start("metrics", SIZE, BINDIR, scratch)

    migrate(start().url())
    return start


def test_a_crash_loses_no_number(start_own: Callable[[], local.Server]) -> None:
    server = start_own()
    with open_stage(server.url()) as stage:
        jobs_in_every_condition(stage)
        before = stage.watch.execute(LIVE.format("job_metrics_live")).fetchall()
        assert len(before) == 10
    os.kill(server.pid, signal.SIGKILL)
    with open_stage(start_own().url()) as stage:
        check_afterwards(stage, before)
        stage.clear()


def test_a_restored_dump_has_every_number(url: str, empty_url: str) -> None:
    with open_stage(url) as stage:
        jobs_in_every_condition(stage)
        before = stage.watch.execute(LIVE.format("job_metrics_live")).fetchall()
    migrate(empty_url, only_prerequisites=True)
    dump_and_restore(url, empty_url)
    with open_stage(empty_url) as stage:
        check_afterwards(stage, before)


VIEWS = ("job_metrics", "job_metrics_live")
PROGRESS = "select j.id, p.* from public.jobs as j, public.get_job_progress(j.id) as p order by 1"


@contextmanager
def standby_of(server: local.Server, scratch: Path) -> Iterator[tuple[Stage, str]]:
    """A server full of jobs, and the URL of another one that follows it."""
    home = scratch / "standby"
    with open_stage(server.url()) as stage:
        jobs_in_every_condition(stage)
        stage.watch.execute(REFRESH)
        jobs_in_every_condition(stage)
        bindir = Path(one(stage.watch, "select setting from pg_config where name = 'BINDIR'"))
        account = pgbin.choose_account(home)
        pgbin.own_folder(home, account)
        where = ["-U", "postgres", "-h", server.socket_dir, "-p", str(server.port)]
        options = ["-R", "-X", "stream", "-c", "fast"]
        command = [bindir / "pg_basebackup", "-D", home / "data", *where, *options]
        done = pgbin.run(account, *command)
        assert done.returncode == 0, done.stderr
        try:
            yield stage, local.start("standby", SIZE, BINDIR, scratch).url()
        finally:
            local.stop("standby", scratch)
            shutil.rmtree(home)
            stage.clear()


def test_a_standby_shows_the_last_refresh_and_progress_and_can_take_over(
    start_own: Callable[[], local.Server], scratch: Path
) -> None:
    with standby_of(start_own(), scratch) as (stage, url):
        stored, live = (stage.watch.execute(LIVE.format(view)).fetchall() for view in VIEWS)
        with psycopg.connect(url, autocommit=True) as conn:
            assert one(conn, "select pg_is_in_recovery()")
            assert conn.execute(LIVE.format("job_metrics")).fetchall() == stored
            assert conn.execute(PROGRESS).fetchall() == stage.watch.execute(PROGRESS).fetchall()
            with as_tenant(conn, stage.org):
                assert one(conn, "select jobs_total from job_performance_summary") == len(stored)
            assert one(conn, "select pg_promote()")
        with open_stage(url) as promoted:
            check_afterwards(promoted, live)


def test_a_standby_shows_live_metrics(start_own: Callable[[], local.Server], scratch: Path) -> None:
    with (
        standby_of(start_own(), scratch) as (stage, url),
        psycopg.connect(url, autocommit=True) as conn,
    ):
        live = LIVE.format("job_metrics_live")
        assert conn.execute(live).fetchall() == stage.watch.execute(live).fetchall()


# --------------------------------------------------------------------------- what a refresh costs


@contextmanager
def quiet_database(server: local.Server, template: str) -> Iterator[psycopg.Connection]:
    """A database in which nobody else reads anything, autovacuum neither."""
    with (
        new_database(server, template) as address,
        psycopg.connect(address, autocommit=True) as conn,
    ):
        for table in column(conn, "select relid::regclass::text from pg_stat_user_tables"):
            if not table.endswith("_mv"):
                conn.execute(f"alter table {table} set (autovacuum_enabled = off)")
        conn.execute(REFRESH)
        yield conn


def pages(conn: psycopg.Connection) -> int:
    """How many pages of tables and their indexes a refresh reads; that of catalogs aside."""

    def read() -> int:
        conn.execute("select pg_stat_force_next_flush()")
        counted = "heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read"
        return one(conn, f"select sum({counted})::int from pg_statio_user_tables")

    before = read()
    conn.execute(REFRESH)
    return read() - before


def hardly_more(few: dict[str, int], many: dict[str, int]) -> None:
    print(few, many)
    assert {name: n for name, n in many.items() if n > 2 * few[name] + 50} == {}


def move_ten(conn: psycopg.Connection) -> None:
    conn.execute(
        "update job_tasks set status = 'done', started_at = now() where id = any(array("
        "  select id from job_tasks where status = 'pending' order by id limit 10))"
    )


def test_a_refresh_reads_as_much_for_many_tasks_as_for_few(
    server: local.Server, template: str
) -> None:
    read: list[dict[str, int]] = []
    for tasks in (500, 50_000):
        with quiet_database(server, template) as conn:
            job = new_job(conn)
            conn.execute(
                "insert into job_tasks (job_id, step, kind, depends_on)"
                " select %s, n, case n %% 2 when 0 then 'follow_up' else 'research' end, '{}'"
                " from generate_series(1, %s) n",
                [job, tasks],
            )
            read.append({"first after loading": pages(conn)})
            conn.execute(
                "select complete_tasks(array_agg(id), (array_agg(lease_token))[1])"
                " from claim_tasks('w', %s)",
                [tasks // 50],
            )
            conn.execute("vacuum analyze")
            conn.execute(REFRESH)
            read[-1]["idle"] = pages(conn)
            move_ten(conn)
            read[-1]["after ten moves"] = pages(conn)
            assert metrics(conn, "job_metrics", job)["tasks_total"] == tasks
            assert metrics(conn, "job_metrics", job)["tasks_completed"] == tasks // 50 + 10
            assert conn.execute(WRONG).fetchall() == []
            conn.execute(
                "insert into jobsdb.task_moves (job_id, org_id, starts_anew) values (%s, %s, true)",
                [job, A],
            )
            recounts = pages(conn)
    hardly_more(*read)
    assert recounts > 10 * read[1]["idle"], "or what is read is not counted"


MOMENTS_OF_REFRESH: dict[str, Callable[[psycopg.Connection], object]] = {
    "idle": lambda conn: None,
    "after ten moves": move_ten,
    "after five late changes": lambda conn: conn.execute(
        "update jobs set name = 'another' where id = any(array("
        "  select id from jobs where status = 'succeeded' limit 5))"
    ),
}


@pytest.mark.parametrize(
    "moment",
    MOMENTS_OF_REFRESH,
)
def test_a_refresh_reads_as_much_for_many_finished_jobs_as_for_few(
    server: local.Server, template: str, moment: str
) -> None:
    read: list[dict[str, int]] = []
    for jobs in (10, 1000):
        with quiet_database(server, template) as conn:
            conn.execute(
                "insert into jobs (org_id, name) select %s, 'a' from generate_series(1, %s)",
                [A, jobs],
            )
            conn.execute(
                "insert into job_tasks (job_id, step, kind) select id, 1, 'research' from jobs"
            )
            conn.execute("update job_tasks set status = 'done'")
            for status in ("running", "succeeded"):
                conn.execute("update jobs set status = %s", [status])
            job = new_job(conn)
            for _ in range(20):
                new_task(conn, job)
            conn.execute(REFRESH)
            conn.execute("vacuum analyze")
            conn.execute(REFRESH)
            MOMENTS_OF_REFRESH[moment](conn)
            read.append({moment: pages(conn)})
            assert one(conn, "select count(*) from job_metrics") == jobs + 1
    hardly_more(*read)


# ---------------------------------------------------------- a refresh and others, at the same time


WORLDS = {"start": "pending", "succeed": "closable"}
OTHERS = [name for name in STATEMENTS if name not in ("refresh", "finish closed")]


@pytest.mark.parametrize("name", OTHERS)
def test_nobody_waits_for_a_refresh_that_has_added_up_and_not_committed(
    stage: Stage, name: str
) -> None:
    """What is done meanwhile is in neither its sums nor lost."""
    names = stage.job(WORLDS.get(name, "running"))
    refresher = stage.session("service_role")
    other = stage.session("service_role" if name in OPERATIONS else "authenticated")
    other.run(TASKS.format("retry_count = 1", "true"), names)
    refresher.begin()
    refresher.run(REFRESH)
    step = other.start(STATEMENTS[name], names)
    assert step.ends()
    assert step.outcome() == "ok"
    with old_snapshot(stage.url) as before:
        stage.look()
        assert refresher.end() == "ok"
        assert wrong(before) == []
    stage.rest()


@pytest.mark.parametrize("name", OTHERS)
def test_a_refresh_waits_for_nobody_who_has_not_committed(stage: Stage, name: str) -> None:
    names = stage.job(WORLDS.get(name, "running"))
    other = stage.session("service_role" if name in OPERATIONS else "authenticated")
    other.run(TASKS.format("retry_count = 1", "true"), names)
    other.begin()
    assert other.attempt(STATEMENTS[name], names) == "ok"
    refresh = stage.session("service_role").start(REFRESH)
    assert refresh.ends()
    assert refresh.outcome() == "ok"
    stage.look()
    assert other.end() == "ok"
    stage.rest()
