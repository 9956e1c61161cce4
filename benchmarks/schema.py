"""What the SQL promises: inserts, progress, and moves of jobs of a million tasks."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg

from benchmarks.harness import Figure, as_tenant, buffers, in_turn, seconds

MANY = 1_000_000
INSERT = (
    "insert into job_tasks (job_id, step, kind, input, depends_on)"
    """ select %s, n, 'research', '{{"target_id": "x"}}', {} from generate_series(1, %s) n"""
)


def new_job(conn: psycopg.Connection, tasks: int, depends_on: str = "'{}'") -> UUID:
    """A job with so many pending tasks, added in one statement."""
    with as_tenant(conn):
        (job,) = conn.execute("insert into jobs (name) values ('x') returning id").fetchone() or ()
        conn.execute(INSERT.format(depends_on).encode(), (job, tasks))
    return UUID(str(job))


def figures(url: str, bare_url: str) -> Iterator[Figure]:
    """`bare_url` is a clone of the database whose tables have our triggers disabled."""
    with psycopg.connect(url, autocommit=True) as conn, psycopg.connect(bare_url) as bare:
        bare.autocommit = True
        for table in ("jobs", "job_tasks"):
            bare.execute(f"alter table {table} disable trigger user")
        for label, depends_on in (("independent", "'{}'"), ("chained", "null")):
            yield in_turn(
                f"insert of 100,000 {label} tasks ÷ the same without our triggers",
                2.5,
                lambda d=depends_on: seconds(lambda: new_job(conn, 100_000, d)),
                lambda d=depends_on: seconds(lambda: new_job(bare, 100_000, d)),
            )

    with psycopg.connect(url, autocommit=True) as conn:
        large, small = new_job(conn, MANY), new_job(conn, 100)
        conn.execute("vacuum analyze job_tasks")

        def progress(job: UUID) -> float:
            with as_tenant(conn):
                return seconds(
                    lambda: [
                        conn.execute("select * from get_job_progress(%s)", (job,)).fetchall()
                        for _ in range(200)
                    ]
                )

        yield in_turn(
            "get_job_progress of 1,000,000 tasks ÷ of 100",
            2,
            lambda: progress(large),
            lambda: progress(small),
        )

        jobs = {MANY: large, 1000: new_job(conn, 1000)}
        moves = (
            "transition_job_status('{}', 'running')",
            "pause_job('{}')",
            "resume_job('{}')",
            "cancel_job('{}')",
        )
        seen: dict[tuple[str, int], list[float]] = {}
        for _ in range(4):
            for size, job in jobs.items():
                with as_tenant(conn):
                    for move in moves:
                        touched = buffers(conn, f"select {move.format(job)}")
                        seen.setdefault((move, size), []).append(touched)
                    raise psycopg.Rollback
        for move in moves:
            yield Figure(
                f"{move.partition('(')[0]} of a job of 1,000,000 tasks ÷ of 1,000",
                "buffers",
                3,
                seen[move, MANY][1:],
                seen[move, 1000][1:],
            )
