"""The clock-free bars: `python -m benchmarks.check`, or `make bench-check`.

With a file's name it also writes its table there.
Bytes, buffers, flushes and instructions repeat to a little; so CI can hold them against bars.
Instructions are those of `postgres --single` under valgrind's callgrind, two runs of different
length compared; they are left out where there is no valgrind. What must be right in a storm (no
wrong snapshot, no deadlock) is in tests/test_worker_storm.py.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from benchmarks import review
from benchmarks.harness import QUIET, Figure, buffers, scratch_server, table, wal
from benchmarks.schema import new_job
from benchmarks.worker import CLAIM, Worker, fused, one_by_one, running_job

SERVER = "bench-check"
FLOOR = """
create table floor (
  id bigint generated always as identity primary key,
  status text not null default 'pending',
  payload jsonb
) with (fillfactor = 70);
create index on floor (id) where status = 'pending';
"""
TAKE = (
    "update floor set status = 'running' where id = any(array(select id from floor"
    " where status = 'pending' order by id limit {} for update skip locked)) returning id"
)
MANY = 1_000_000
ALLOWED = {
    "log of a task: one task, complete_and_claim": 1150,
    "log of a task: one task, claim_tasks and complete_tasks": 1460,
    "instructions a task, 1 a call, complete_and_claim ÷ floor": 2.7,  # 2.52 to 2.60 seen
    "instructions a task, 1 a call, two calls ÷ floor": 3.3,
    "a page of review_queue in its own order, 1,000 wait behind 100,000 of another tenant"
    " ÷ only 1,000 wait": 15,
    "a page of review_queue by since, 1,000 wait behind 100,000 of another tenant"
    " ÷ only 1,000 wait": 15,
}
"""Over their bars or at them, and how far they may be: docs/performance/README.md says why."""
INTRO = """# Bars without a clock

Written by `python -m benchmarks.check docs/performance/check.md`; CI holds every line.

"""
CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")


def main() -> int:
    """Returns 1 when a bar was passed, or by more than is allowed."""
    seen: list[Figure] = []

    def see(figure: Figure) -> None:
        print(figure.row(), flush=True)
        seen.append(figure)

    with scratch_server(SERVER, QUIET) as scratch:
        for figures in (of_log, of_buffers, of_moves, review.figures, of_flushes):
            for figure in figures(scratch.installed()):
                see(figure)
        prepare_instructions(scratch.installed())
        scratch.stop()
        for figure in of_instructions(scratch.folder):
            see(figure)
    for name in sys.argv[1:]:
        Path(name).write_text(INTRO + table(seen))
    return int(any(figure.ratio > ALLOWED.get(figure.what, figure.bar) for figure in seen))


def of_log(url: str) -> Iterator[Figure]:
    """Bytes of write-ahead log a task, finished row kept, everything on."""
    with psycopg.connect(url, autocommit=True) as conn:
        running_job(conn, 6_000)
        conn.execute("vacuum analyze")
        conn.execute("checkpoint")
        worker = Worker(url)
        for what, bar, work, tasks, calls in (
            ("one task, complete_and_claim", 1000, fused, 1, 500),
            ("one task, claim_tasks and complete_tasks", 1100, one_by_one, 1, 500),
            ("100 tasks, claim_tasks and complete_tasks", 1050, one_by_one, 100, 10),
        ):
            work(worker, tasks, 5)
            seen = wal(conn, lambda w=work, t=tasks, c=calls: w(worker, t, c)) / (tasks * calls)
            yield Figure(f"log of a task: {what}", "bytes", bar, [seen], [1])
        worker.conn.close()


def of_buffers(url: str) -> Iterator[Figure]:
    """Buffers of a claim, where others have left or hold something."""
    with psycopg.connect(url, autocommit=True) as conn:

        def reads(kind: str = "research") -> list[float]:
            statement = CLAIM.format(1, kind)
            buffers(conn, statement)
            return [buffers(conn, statement) for _ in range(9)]

        running_job(conn, 20_000)
        conn.execute("vacuum analyze")
        with psycopg.connect(url) as holder:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("select count(*) from job_tasks")
            worker = Worker(url)
            one_by_one(worker, 1, 8_000)
            one_by_one(worker, 100, 80)
            worker.conn.close()
            seen = sorted(reads())
            yield Figure(
                "claim while a snapshot is held, 16,000 done", "buffers", 110, seen, [1] * 9
            )

        # Afterwards without them, so that the indexes are as high.
        conn.execute("delete from jobs")
        running_job(conn, 100)
        large = new_job(conn, 0)
        add = "insert into job_tasks (job_id, step, kind, depends_on, scheduled_for)"
        for first, dependencies, time in (
            (1, "'{}'", "null"),
            (400_001, "'{400000}'", "null"),
            (800_001, "'{}'", "now() + interval '1 day'"),
        ):
            conn.execute(
                f"{add} select %s, n, 'research', {dependencies}, {time}"
                f" from generate_series({first}, {min(first + 399_999, MANY)}) as n",
                (large,),
            )
        conn.execute("select transition_job_status(%s, 'running')", (large,))
        conn.execute("select pause_job(%s)", (large,))
        conn.execute("vacuum analyze")
        behind = reads()
        conn.execute("delete from jobs where id = %s", (large,))
        conn.execute("vacuum analyze")
        what = "claim behind 1,000,000 tasks paused, waiting or later ÷ none"
        yield Figure(what, "buffers", 1.2, behind, reads())

        job = running_job(conn, MANY)
        rare = "insert into job_tasks (job_id, step, kind, depends_on)"
        rare += " select %s, n, 'create_deal', '{}' from generate_series(2000001, 2000100) as n"
        conn.execute(rare, (job,))
        conn.execute("vacuum analyze")
        behind = reads("create_deal")
        conn.execute("delete from job_tasks where kind = 'research'")
        conn.execute("vacuum analyze")
        what = "claim of a rare kind behind 1,000,000 of another ÷ alone"
        yield Figure(what, "buffers", 1.5, behind, reads("create_deal"))


def of_moves(url: str) -> Iterator[Figure]:
    """Buffers of a job's moves, large and small."""
    with psycopg.connect(url, autocommit=True) as conn:
        seen = {}
        for tasks in (1_000, MANY):
            job = new_job(conn, tasks)
            conn.execute("vacuum analyze job_tasks")
            for move in (
                "transition_job_status('{}', 'running')",
                "pause_job('{}')",
                "resume_job('{}')",
                "cancel_job('{}')",
            ):
                touched = buffers(conn, f"select {move.format(job)}")
                seen.setdefault(move.partition("(")[0], []).append(touched)
        for move, (small, large) in seen.items():
            yield Figure(f"{move} of 1,000,000 tasks ÷ of 1,000", "buffers", 3, [large], [small])


def of_flushes(url: str) -> Iterator[Figure]:
    """Flushes of the write-ahead log a task."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(FLOOR)
        version = conn.info.server_version // 10_000
        count = "select wal_sync from pg_stat_wal"
        if version >= 18:
            count = "select sum(fsyncs) from pg_stat_io where object = 'wal'"

        def flushes(tasks: int, actions: list[Callable[[], object]]) -> float:
            threads = [threading.Thread(target=action) for action in actions]
            (before,) = conn.execute(count).fetchone() or (0,)
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            conn.execute("select pg_stat_force_next_flush()")
            (after,) = conn.execute(count).fetchone() or (0,)
            return float(after - before) / tasks

        def drain(worker: Worker, calls: int) -> None:
            fused(worker, 1, calls)
            worker.conn.close()  # its statistics are counted now

        def drain_floor(calls: int) -> None:
            with psycopg.connect(url, autocommit=True) as own:
                for _ in range(calls):
                    ids = own.execute(TAKE.format(1)).fetchall()
                    own.execute("update floor set status = 'done' where id = %s", ids[0])

        running_job(conn, 4_000)
        conn.execute("insert into floor (payload) select '{}' from generate_series(1, 4000)")
        conn.execute("vacuum analyze")
        seen = flushes(500, [lambda: drain(Worker(url), 500)])
        yield Figure("flushes a task, one worker, complete_and_claim", "flushes", 1.05, [seen], [1])
        ours = flushes(1600, [lambda: drain(Worker(url), 100)] * 16)
        floor = flushes(1600, [lambda: drain_floor(100)] * 16)
        yield Figure("flushes a task, 16 workers ÷ the floor's", "flushes", 1, [ours], [floor])


SINGLE_USER = {
    "fused": "for r in select * from"
    " complete_and_claim(ids, tok, null, 'w', {k}, '{{research}}') loop"
    " more := more || r.id; tok := r.lease_token; end loop; ids := more; commit;",
    "two": "for r in select * from claim_tasks('w', {k}, '{{research}}') loop"
    " more := more || r.id; tok := r.lease_token; end loop; commit;"
    " perform complete_tasks(more, tok); commit;",
    "floor": "for r in "
    + TAKE.replace("{}", "{k}")
    + " loop more := more || r.id; end loop; commit;"
    " update floor set status = 'done' where id = any(more); commit;",
}


def prepare_instructions(url: str) -> None:
    """A procedure for each subject and size that works off so many batches."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(FLOOR)
        running_job(conn, 6_000)
        conn.execute("insert into floor (payload) select '{}' from generate_series(1, 6000)")
        for name, body in SINGLE_USER.items():
            for size in (1, 100):
                conn.execute(
                    f"create procedure {name}_{size}(n int) language plpgsql as $$"
                    " declare ids bigint[] := '{}'; more bigint[]; tok uuid; r record;"
                    f" begin for i in 1..n loop more := '{{}}'; {body.format(k=size)}"
                    " end loop; end $$"
                )
        conn.execute("vacuum analyze")


def of_instructions(folder: Path) -> Iterator[Figure]:
    """Instructions of the server a task, by the floor's; nothing without valgrind."""
    if shutil.which("valgrind") is None:
        print("no figures of instructions: valgrind is not installed")
        return
    home = folder / SERVER

    def counted(name: str, calls: int) -> int:
        work = folder / "callgrind"
        shutil.rmtree(work, ignore_errors=True)
        subprocess.run(["cp", "-a", home / "data", work], check=True)
        owner = (home / "data").stat()
        postgres = shlex.split((home / "data" / "postmaster.opts").read_text())[0]
        done = subprocess.run(
            [*CALLGRIND, postgres, "--single", "-D", str(work), "bench"],
            input=f"call {name}({calls});\n",
            capture_output=True,
            text=True,
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=[],
            cwd=work,
        )
        found = re.search(r"Collected : (\d+)", done.stderr)
        if found is None or "ERROR" in done.stderr:
            raise RuntimeError(done.stderr[-2000:])
        return int(found[1])

    def each(name: str, size: int) -> float:
        few, many = (100, 400) if size == 1 else (4, 14)
        more = counted(f"{name}_{size}", many) - counted(f"{name}_{size}", few)
        return more / ((many - few) * size)

    for size, bar in ((1, 2.6), (100, 3.0)):
        floor = each("floor", size)
        for name, label in (("fused", "complete_and_claim"), ("two", "two calls")):
            what = f"instructions a task, {size} a call, {label} ÷ floor"
            yield Figure(what, "instructions", bar, [each(name, size)], [floor])


if __name__ == "__main__":
    raise SystemExit(main())
