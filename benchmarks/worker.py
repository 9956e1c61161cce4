"""An agent that claims and completes tasks, and a job that gives it some."""

from __future__ import annotations

from uuid import UUID

import psycopg

from benchmarks.schema import new_job

CLAIM = "select * from claim_tasks('w', {}, '{{{}}}')"


class Worker:
    """An agent on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.conn = psycopg.connect(url, autocommit=True)
        self.conn.execute("set role service_role")
        self.ids: list[int] = []
        self.token: UUID | None = None

    def take(self, rows: list[tuple[int, UUID]]) -> None:
        """Remember what was claimed."""
        self.ids = [row[0] for row in rows]
        self.token = rows[0][1] if rows else None

    def claim(self, tasks: int, kind: str = "research") -> None:
        """Claim and keep."""
        found = self.conn.execute(CLAIM.replace("*", "id, lease_token").format(tasks, kind))
        self.take(found.fetchall())

    def complete(self) -> None:
        """Complete what is held."""
        self.conn.execute("select complete_tasks(%s, %s)", (self.ids, self.token))

    def both(self, tasks: int) -> None:
        """Complete what is held and claim in the same call."""
        call = "select id, lease_token from complete_and_claim(%s, %s, null, 'w', %s, '{research}')"
        self.take(self.conn.execute(call, (self.ids, self.token, tasks)).fetchall())


def one_by_one(worker: Worker, tasks: int, calls: int) -> None:
    """Two calls a batch."""
    for _ in range(calls):
        worker.claim(tasks)
        worker.complete()


def fused(worker: Worker, tasks: int, calls: int) -> None:
    """One call a batch."""
    for _ in range(calls):
        worker.both(tasks)


def running_job(conn: psycopg.Connection, tasks: int, kind: str = "research") -> UUID:
    """A job whose independent tasks can be claimed."""
    job = new_job(conn, 0)
    add = "insert into job_tasks (job_id, step, kind, depends_on) select %s, n, %s, '{}'"
    conn.execute(add + " from generate_series(1, %s) as n", (job, kind, tasks))
    conn.execute("select transition_job_status(%s, 'running')", (job,))
    return job
