"""Two tenants and what they own: jobs, tasks, cards and runs, in whatever state a test needs.

Everything is made on the legal way, as the owner, so that counters and history are what they would
be in life. ``forced`` is the exception: it plants what the guards would refuse.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from helpers import as_role
from jobsdb.sqlfiles import SqlFile, load

A = UUID("aaaaaaaa-0000-4000-8000-000000000001")
B = UUID("bbbbbbbb-0000-4000-8000-000000000002")
UNKNOWN = UUID("eeeeeeee-0000-4000-8000-00000000000e")
UNKNOWN_TASK = 999_999_999

WAY_OF_A_JOB = {
    "pending": (),
    "running": ("running",),
    "succeeded": ("running", "succeeded"),
    "failed": ("running", "failed"),
    "cancelled": ("cancelled",),
}
WAY_OF_A_CARD = {
    "in_review": (),
    "approved": ("approved",),
    "rejected": ("rejected",),
    "done": ("approved", "done"),
}
FINISHED = ("succeeded", "failed", "cancelled")
MODES = {"on": {"review_mode": True}, "absent": {}, "off": {"review_mode": False}}

_steps = itertools.count(1_000_001)  # tests that name a step themselves name a low one

TASK_COUNTERS = ("tasks_total", "tasks_done", "tasks_error", "tasks_skipped")
CARD_COUNTERS = (
    "cards_total",
    "cards_in_review",
    "cards_approved",
    "cards_rejected",
    "cards_done",
    "cards_other",
)
RECOUNT = """
select
  j.id,
  t.total, t.done, t.error, t.total - t.done - t.error - t.open,
  c.total, c.in_review, c.approved, c.rejected, c.done,
  c.total - c.in_review - c.approved - c.rejected - c.done
from public.jobs as j,
lateral (
  select
    count(*) as total,
    count(*) filter (where t.status = 'done') as done,
    count(*) filter (where t.status = 'error') as error,
    count(*) filter (
      where t.status in ('pending', 'running') and j.status not in ('failed', 'cancelled')
    ) as open
  from public.job_tasks as t where t.job_id = j.id
) as t,
lateral (
  select
    count(*) as total,
    count(*) filter (where c.state::text = 'in_review') as in_review,
    count(*) filter (where c.state::text = 'approved') as approved,
    count(*) filter (where c.state::text = 'rejected') as rejected,
    count(*) filter (where c.state::text = 'done') as done
  from public.kanban_cards as c where c.job_id = j.id
) as c
order by j.id
"""


def one(conn: psycopg.Connection, query: str, *values: object) -> Any:
    """The first column of the first row, None without a row."""
    found = conn.execute(query, values).fetchone()
    return None if found is None else found[0]


def row(conn: psycopg.Connection, query: str, *values: object) -> dict[str, Any]:
    """The only row, as a dictionary."""
    found = rows(conn, query, *values)
    assert len(found) == 1, f"{len(found)} rows from {query}"
    return found[0]


def rows(conn: psycopg.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    """All rows, as dictionaries."""
    return conn.cursor(row_factory=dict_row).execute(query, values).fetchall()


def column(conn: psycopg.Connection, query: str, *values: object) -> list[Any]:
    """The first column of all rows."""
    return [found[0] for found in conn.execute(query, values)]


def outcome(
    conn: psycopg.Connection, query: str, values: Any = (), *, keep: bool = False
) -> list[tuple[Any, ...]] | str:
    """The rows of a query, or the SQLSTATE of its refusal; what it did is undone unless kept."""
    try:
        with conn.transaction(force_rollback=not keep):
            result = conn.execute(query, values)
            return result.fetchall() if result.description else []
    except psycopg.Error as error:
        return error.sqlstate or "?"


def as_nobody(conn: psycopg.Connection, **claims: Any):
    """As role ``authenticated`` with a JWT that has no ``sub``."""
    return as_role(conn, "authenticated", {"role": "authenticated", **claims})


def as_malformed(conn: psycopg.Connection):
    """As role ``authenticated`` with a JWT whose ``sub`` is no uuid."""
    return as_role(conn, "authenticated", {"role": "authenticated", "sub": "' or true --"})


@contextmanager
def forced(conn: psycopg.Connection) -> Iterator[None]:
    """Let the block plant what triggers and foreign keys would refuse or complete."""
    with conn.transaction():
        conn.execute("set local session_replication_role = replica")
        yield
        conn.execute("set local session_replication_role = origin")


def new_job(
    conn: psycopg.Connection,
    org: UUID = A,
    status: str = "running",
    name: str = "a campaign",
    **params: object,
) -> UUID:
    """A job of an organisation that has come to a status on the legal way."""
    job = one(
        conn,
        "insert into public.jobs (org_id, name, params) values (%s, %s, %s) returning id",
        org,
        name,
        Jsonb(params),
    )
    for step in WAY_OF_A_JOB[status]:
        move_job(conn, job, step)
    return job


def move_job(conn: psycopg.Connection, job: UUID, status: str) -> None:
    conn.execute("update public.jobs set status = %s where id = %s", [status, job])


def new_task(
    conn: psycopg.Connection,
    job: UUID,
    status: str = "pending",
    *,
    step: int | None = None,
    batch: int = 0,
    kind: str = "research",
    depends_on: Sequence[int] | None = (),
) -> int:
    """A task of a job that waits for nothing, in a status."""
    task = one(
        conn,
        "insert into public.job_tasks (job_id, batch, step, kind, depends_on)"
        " values (%s, %s, %s, %s, %s) returning id",
        job,
        batch,
        next(_steps) if step is None else step,
        kind,
        None if depends_on is None else list(depends_on),
    )
    if status != "pending":
        move_task(conn, task, status)
    return task


def move_task(conn: psycopg.Connection, task: int, status: str) -> None:
    conn.execute("update public.job_tasks set status = %s where id = %s", [status, task])


def new_card(
    conn: psycopg.Connection,
    job: UUID | None,
    state: str = "in_review",
    *,
    org: UUID = A,
    task: int | None = None,
    subject: str = "Hello",
) -> Any:
    """A card, linked unless ``job`` is None; one not linked may be in any state at once."""
    way = WAY_OF_A_CARD.get(state, ()) if job else ()
    card = one(
        conn,
        "insert into public.kanban_cards (org_id, job_id, task_id, type, title, state, content)"
        " values (%s, %s, %s, 'send_email', 'Email: intro', %s, %s) returning id",
        org,
        job,
        task,
        "in_review" if way else state,
        Jsonb({"to": "contact@example.com", "subject": subject, "body": "…"}),
    )
    for step in way:
        move_card(conn, card, step)
    return card


def move_card(conn: psycopg.Connection, card: object, state: str) -> None:
    conn.execute("update public.kanban_cards set state = %s where id = %s", [state, card])


def counters(conn: psycopg.Connection, job: UUID) -> dict[str, int]:
    """The counters of a job that are not 0, as its row has them."""
    names = TASK_COUNTERS + CARD_COUNTERS
    found = row(conn, f"select {', '.join(names)} from public.jobs where id = %s", job)
    return {name: value for name, value in found.items() if value}


def check_counters(conn: psycopg.Connection) -> None:
    """Every counter of every job, base plus what waits to be folded in, equals a recount."""
    conn.execute("set constraints all immediate")
    names = TASK_COUNTERS + CARD_COUNTERS
    exact = conn.execute(f"select id, {', '.join(names)} from jobsdb.exact_jobs order by id")
    assert exact.fetchall() == conn.execute(RECOUNT).fetchall()


def install(conn: psycopg.Connection, *, twice: bool = False) -> None:
    """Send the files of sql/ in their order in one transaction, as `jobsdb migrate` would."""
    with conn.transaction():
        begin_install(conn)
        for file in load():
            send(conn, file)
        if twice:
            for file in load():
                if file.kind != "migration":
                    send(conn, file)
        conn.execute("select jobsdb.adopt_in_place(100000)")


def begin_install(conn: psycopg.Connection) -> None:
    conn.execute("select set_config('search_path', '', true)")
    conn.execute("select set_config('jobsdb.runner', pg_current_xact_id()::text, true)")
    conn.execute("set local client_min_messages = warning")


def send(conn: psycopg.Connection, file: SqlFile) -> None:
    conn.execute(file.text.encode())


def make_prerequisites(conn: psycopg.Connection) -> None:
    """Roles and auth.uid(), as a host application has them before jobsdb comes."""
    with conn.transaction():
        conn.execute("set local search_path to ''")
        for file in load():
            if file.kind == "prerequisite" and file.bundle == 1:
                send(conn, file)


def columns_of(conn: psycopg.Connection, table: str) -> list[str]:
    return column(
        conn,
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
        " and not attisdropped order by attnum",
        table,
    )
