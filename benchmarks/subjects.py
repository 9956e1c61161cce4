"""The queues that are compared: ours, a floor, and the ones people would pick instead.

A competitor comes from its registry when the benchmark runs, installs itself into an empty database
and says which SQL it sends; nothing of it is kept here. Whatever the client library would do around
that SQL is left out, which flatters it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.harness import TENANT
from benchmarks.schema import INSERT
from jobsdb.deploy.migrate import migrate

PEERS = {
    "procrastinate": "==3.10.0",
    "PgQueuer": "==1.6.0",
    "graphile-worker": "@0.18.0",
    "pg-boss": "@12.38.0",
}
"""How each is asked for: == of PyPI, @ of npm."""
BATCH = 100
HISTORY = 10_000_000
WORKERS = 16
RECORDER = Path(__file__).parent / "peers" / "record.mjs"
PAYLOAD = '{"target_id": "x"}'
WORKER = "%worker%"
"""Stands for the number of a worker, 12 digits, anywhere in a value."""


@dataclass(frozen=True)
class Statement:
    """SQL as it is sent, and the values of $1, $2 …

    These values are known only when it is sent: %id% and %ids% (what was claimed), %each X% (X as
    often as that), %token% (of the claim), %step% and %steps% (numbers not used before).
    """

    text: str
    values: tuple[str | None, ...] = ()


Statements = dict[str, Statement]
"""What a subject can do: "add", "claim", "finish" or "next" (finish and claim) and how many."""


@dataclass(frozen=True)
class Subject:
    """A queue under test."""

    name: str
    unfinished: str
    """Query: how many tasks are not finished yet."""
    install: Callable[[str], Statements]
    """Makes an empty database ready and tells its statements."""
    user: str = "postgres"
    fill: str = ""
    """Query that adds so many tasks; without it they are added by the hundred."""
    fused: bool = False
    version: str = ""


def literal(value: Any) -> str | None:
    """A value as PostgreSQL reads it; lists are arrays, tuples are rows."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        missing = "NULL" if isinstance(value, list) else ""
        parts = (missing if part is None else quoted(literal(part) or "") for part in value)
        return ("{%s}" if isinstance(value, list) else "(%s)") % ",".join(parts)
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} seconds"
    if isinstance(value, bytes):
        return rf"\x{value.hex()}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def quoted(text: str) -> str:
    """An element of an array or a row."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def statement(text: str, *values: Any) -> Statement:
    """A statement with its values as text."""
    return Statement(text, tuple(map(literal, values)))


# --- ours, and the floor

CLAIM = "claim_tasks(worker => $1, max_tasks => {}, kinds => '{{research}}')"
NEXT = "complete_and_claim($1, $2, null, worker => $3, max_tasks => {}, kinds => '{{research}}')"
JOB = f"bbbbbbbb-0000-0000-0000-{WORKER}"
FIRST_JOB = JOB.replace(WORKER, f"{1:012}")
ADD = "insert into job_tasks (job_id, batch, step, kind, input, depends_on)"


def install_jobsdb(url: str, job: str = FIRST_JOB) -> Statements:
    """Tasks are added to `job`, worked on by a member of service_role; every job is running."""
    migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        if not conn.execute("select 1 from pg_roles where rolname = 'bench_worker'").fetchone():
            conn.execute("create role bench_worker login in role service_role")
        for target in {job.replace(WORKER, f"{n:012}") for n in range(1, WORKERS + 1)}:
            new = "insert into jobs (id, org_id, name) values (%s, %s, 'x')"
            conn.execute(new, (target, TENANT))
            conn.execute("select transition_job_status(%s, 'running')", (target,))
    one = f"{ADD} values ($1, $2, $3, 'research', $4, '{{}}')"
    many = (
        f"{ADD} select $1, $2, s, 'research', i, '{{}}' from unnest($3::int[], $4::jsonb[]) n(s, i)"
    )
    seen = {
        "add 1": statement(one, job, WORKER, "%step%", PAYLOAD),
        f"add {BATCH}": statement(many, job, WORKER, "%steps%", [PAYLOAD] * BATCH),
    }
    for size in (1, BATCH):
        seen |= {
            f"claim {size}": statement(f"select * from {CLAIM.format(size)}", f"w{WORKER}"),
            f"finish {size}": statement("select complete_tasks($1, $2)", "%ids%", "%token%"),
            f"next {size}": statement(
                f"select * from {NEXT.format(size)}", "%ids%", "%token%", f"w{WORKER}"
            ),
        }
    return seen


def install_uncounted(url: str) -> Statements:
    """The same, but tasks that end one by one are counted nowhere."""
    seen = install_jobsdb(url)
    with psycopg.connect(url, autocommit=True) as conn:
        ((text,),) = conn.execute(
            "select pg_get_functiondef(oid) from pg_proc where proname = 'complete_and_claim'"
        ).fetchall()
        before, rest = text.split("      if current_setting('transaction_isolation')", 1)
        conn.execute((before + rest[rest.index("      if v_done.is_awaited") :]).encode())
    return seen


def install_history(url: str) -> Statements:
    """The same behind ten million finished tasks, which came here without our triggers."""
    seen = install_jobsdb(url)
    old = "bbbbbbbb-0000-0000-0000-999999999999"
    with psycopg.connect(url) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(
            "insert into jobs (id, org_id, name, status, tasks_total, tasks_done)"
            " values (%s, %s, 'old', 'succeeded', %s, %s)",
            (old, TENANT, HISTORY, HISTORY),
        )
        conn.execute(
            "insert into job_tasks (job_id, org_id, step, kind, input, depends_on, max_retries,"
            " attempt, started_at, finished_at, rev, status)"
            " select %s, %s, n, 'research', %s, '{}', 3, 1, now(), now(), 2, 'done'"
            " from generate_series(1, %s) n",
            (old, TENANT, PAYLOAD, HISTORY),
        )
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("vacuum (freeze, analyze)")  # once, and not in every copy
    return seen


def install_floor(url: str) -> Statements:
    """The least a table can do and still be a queue."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "create table floor (id bigint generated always as identity primary key,"
            " status text not null default 'pending', payload jsonb not null)"
        )
        conn.execute("create index floor_pending on floor (id) where status = 'pending'")
    seen = {
        "add 1": statement("insert into floor (payload) values ($1)", PAYLOAD),
        f"add {BATCH}": statement(
            "insert into floor (payload) select unnest($1::jsonb[])", [PAYLOAD] * BATCH
        ),
        "finish 1": statement("update floor set status = 'done' where id = $1", "%id%"),
        f"finish {BATCH}": statement(
            "update floor set status = 'done' where id = any($1::bigint[])", "%ids%"
        ),
    }
    for size in (1, BATCH):
        seen[f"claim {size}"] = statement(
            "update floor set status = 'running' where id = any(array("
            "select id from floor where status = 'pending' order by id"
            f" limit {size} for update skip locked)) returning id, payload"
        )
    return seen


COUNTED = (
    "select greatest((select count(*) from job_tasks where status <> 'done'),"
    " (select sum(tasks_total - tasks_done) from jobsdb.exact_jobs))"
)
FLOOR = Subject("floor", "select count(*) from floor where status <> 'done'", install_floor)
JOBSDB = Subject(
    "jobsdb",
    COUNTED,
    install_jobsdb,
    user="bench_worker",
    fill=INSERT.format("'{}'").replace("%s", f"'{FIRST_JOB}'", 1),
)
FUSED = replace(JOBSDB, name="jobsdb fused", fused=True)
OURS = (
    FLOOR,
    JOBSDB,
    FUSED,
    replace(
        FUSED,
        name="jobsdb fused, counters off",
        unfinished="select case when (select sum(tasks_done) from jobs) = 0 then count(*) end"
        " from job_tasks where status <> 'done'",
        install=install_uncounted,
    ),
    replace(FUSED, name="jobsdb fused, 10,000,000 done before", install=install_history),
    replace(JOBSDB, name="jobsdb, a job a writer", install=lambda url: install_jobsdb(url, JOB)),
)


# --- competitors


def install_procrastinate(url: str) -> Statements:
    """Its schema.sql and its queries.sql; one job a claim is all it knows."""
    from procrastinate.schema import SchemaManager
    from procrastinate.sql import queries

    def own(name: str, **values: Any) -> Statement:
        used: list[str] = []

        def number(match: re.Match[str]) -> str:
            used.append(match[1])
            return f"${len(used)}"

        text = re.sub(r"%\((\w+)\)s", number, queries[name])
        return statement(text, *(values[key] for key in used))

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SchemaManager.get_schema().encode())
        for _ in range(WORKERS):
            conn.execute(queries["register_worker"])
    job = ("default", "bench", 0, None, None, PAYLOAD, None)
    return {
        "add 1": own("defer_jobs", jobs=[job]),
        f"add {BATCH}": own("defer_jobs", jobs=[job] * BATCH),
        "claim 1": own("fetch_job", queues=None, worker_id=WORKER),
        "finish 1": own("finish_job", job_id="%id%", status="succeeded", delete_job=False),
    }


def install_pgqueuer(url: str) -> Statements:
    """Its query builder; what `Queries` sends is read off a driver that does nothing."""
    from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
    from pgqueuer.queries import Queries

    sent: list[tuple[Any, ...]] = []

    async def note(*sent_now: Any) -> list[Any]:
        sent.append(sent_now)
        return []

    own = Queries(SimpleNamespace(fetch=note, execute=note))
    free = SimpleNamespace(concurrency_limit=0)

    async def record(size: int) -> None:
        await own.enqueue(["bench"] * size, [PAYLOAD.encode()] * size, [0] * size)
        await own.dequeue(size, {"bench": free}, UUID(int=0), None, timedelta(seconds=30))
        await own.log_jobs([(SimpleNamespace(id=1), "successful", None)])

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(QueryBuilderEnvironment().build_install_query().encode())
    seen: Statements = {}
    for size in (1, BATCH):
        asyncio.run(record(size))
        add, claim, (finish, *_) = sent[-3:]
        worker = str(UUID(int=0)).replace("0" * 12, WORKER)
        values = (worker if isinstance(value, UUID) else value for value in claim[1:])
        seen[f"add {size}"] = statement(*add)
        seen[f"claim {size}"] = statement(claim[0], *values)
        seen[f"finish {size}"] = statement(finish, "%ids%", "%each successful%", "%each NULL%")
    return seen


def fetched(folder: Path, package: str) -> bool:
    """Install `name==version` of PyPI or `name@version` of npm; says so when it cannot be had."""
    python = folder / "python"
    python.mkdir(parents=True, exist_ok=True)
    if str(python) not in sys.path:
        sys.path.append(str(python))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", python)
    npm = ("npm", "install", "--no-audit", "--no-fund", "--prefix", folder)
    command = (*(npm if "@" in package else pip), package)
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        print(f"left out: {package}: {told.strip().splitlines()[-1]}", file=sys.stderr)
        return False
    return True


def peers(folder: Path, wanted: Collection[str]) -> Iterator[Subject]:
    """Fetch competitors into `folder`; one that cannot be had is said so and left out."""

    def by_node(package: str) -> Callable[[str], Statements]:
        def install(url: str) -> Statements:
            info = conninfo_to_dict(url)
            place = {f"PG{key.upper()}": str(info[key]) for key in ("host", "port", "user")}
            done = subprocess.run(
                ["node", "record.mjs", package],
                cwd=folder,
                env={**os.environ, **place, "PGDATABASE": str(info["dbname"])},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            seen = json.loads(done.stdout.splitlines()[-1])
            return {key: statement(s["text"], *s["values"]) for key, s in seen.items()}

        return install

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(RECORDER, folder)
    known = {
        "procrastinate": ("procrastinate_jobs where status <> 'succeeded'", install_procrastinate),
        "PgQueuer": ("pgqueuer", install_pgqueuer),
        "graphile-worker": ("graphile_worker._private_jobs", by_node("graphile-worker")),
        "pg-boss": ("pgboss.job where state <> 'completed'", by_node("pg-boss")),
    }
    for name, (left, install) in known.items():
        if name in wanted and fetched(folder, name.lower() + PEERS[name]):
            version = PEERS[name].lstrip("=@")
            yield Subject(name, f"select count(*) from {left}", install, version=version)
