"""The refresh of the metrics: where few tasks and few finished jobs are, and where many are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg

from benchmarks.harness import TENANT, Figure, Scratch, buffers, in_turns, seconds
from benchmarks.worker import Worker, one_by_one, running_job

OPEN_JOBS = 50
COMPLETED = 1_000
"""Tasks that are completed before the last refresh."""
CALL = 5_000
"""Tasks a claim while the database is filled."""
REFRESH = "select refresh_job_metrics()"
KINDS = ("first refresh", "refresh when nothing happened", f"refresh after {COMPLETED:,} tasks")
MEASURED = [(kind, unit) for kind in KINDS for unit in ("seconds", "buffers")]


def fill(url: str, tasks: int, finished: int) -> None:
    """So many tasks in OPEN_JOBS jobs, half of them done, and jobs that finished before.

    The finished ones have been refreshed once, as they would be in five minutes of life.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        if finished:
            move = "select transition_job_status(j.id, '{}') from jobs as j"
            conn.execute(
                "insert into jobs (org_id, name) select %s, 'old ' || n"
                " from generate_series(1, %s) as n",
                (TENANT, finished),
            )
            conn.execute(
                "insert into job_tasks (job_id, step, kind, depends_on)"
                " select j.id, n, 'research', '{}' from jobs as j, generate_series(1, 2) as n"
            )
            conn.execute(move.format("running"))
            conn.execute("update job_tasks set status = 'done'")
            conn.execute(move.format("succeeded"))
            conn.execute(REFRESH)
        for _ in range(OPEN_JOBS):
            running_job(conn, tasks // OPEN_JOBS)
        conn.execute("vacuum analyze")
        worker = Worker(url)
        size = min(CALL, tasks // 10)
        one_by_one(worker, size, tasks // 2 // size)
        worker.conn.close()
        conn.execute("vacuum analyze")


def refreshes(url: str) -> list[float]:
    """What MEASURED says, on a connection of its own, as pg_cron opens one."""
    worker = Worker(url)
    with psycopg.connect(url, autocommit=True) as conn:

        def refresh() -> tuple[float, float]:
            seen: list[float] = []
            took = seconds(lambda: seen.append(buffers(conn, REFRESH)))
            return took, seen[0]

        first, idle = refresh(), refresh()
        one_by_one(worker, 100, COMPLETED // 100)
        after = refresh()
    worker.conn.close()
    return [*first, *idle, *after]


def figures(
    scratch: Scratch, tasks: tuple[int, int], finished: tuple[int, int]
) -> Iterator[Figure]:
    """Every pair starts from copies of two databases that have never been refreshed since."""
    few = min(tasks)
    for unlike, large, small in (
        (f"{tasks[0]:,} tasks in {OPEN_JOBS} open jobs ÷ {tasks[1]:,}", (tasks[0], 0), (few, 0)),
        (
            f"{finished[0]:,} finished jobs ÷ {finished[1]:,}",
            (few, finished[0]),
            (few, finished[1]),
        ),
    ):

        def copied(name: str, size: tuple[int, int]) -> Callable[[], list[float]]:
            fill(scratch.installed(name), *size)
            return lambda: refreshes(scratch.new("copy", name))

        whats = [(f"{kind}, {unlike}", unit) for kind, unit in MEASURED]
        yield from in_turns(whats, 1.5, copied("large", large), copied("small", small))
