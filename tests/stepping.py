"""Sessions that take turns, a witness who recounts, a job with something of everything in it."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg

WAITS = 0.2
"""Seconds a lock must have been awaited to count as waiting: counters give up after 0.05."""
ENDS = 2
"""Seconds in which a statement ends that waits for nobody: a busy machine takes its time."""
TOO_LONG = 15

# What the rows say. In a failed or cancelled job no task is open, whatever its row still says.
TRUTH = """
select
  j.id as job_id,
  array[
    t.total,
    t.done,
    t.error,
    case
      when j.status in ('failed', 'cancelled') then t.total - t.done - t.error
      else t.skipped
    end,
    c.total, c.in_review, c.approved, c.rejected, c.done,
    c.total - c.in_review - c.approved - c.rejected - c.done
  ]::int[] as counts,
  case when j.status in ('failed', 'cancelled') then '{0,0}' else array[t.pending, t.running] end
    ::int[] as open
from public.jobs as j
cross join lateral (
  select
    count(*) as total,
    count(*) filter (where t.status = 'done') as done,
    count(*) filter (where t.status = 'error') as error,
    count(*) filter (where t.status = 'skipped') as skipped,
    count(*) filter (where t.status = 'pending') as pending,
    count(*) filter (where t.status = 'running') as running
  from public.job_tasks as t where t.job_id = j.id
) as t
cross join lateral (
  select
    count(*) as total,
    count(*) filter (where c.state = 'in_review') as in_review,
    count(*) filter (where c.state = 'approved') as approved,
    count(*) filter (where c.state = 'rejected') as rejected,
    count(*) filter (where c.state = 'done') as done
  from public.kanban_cards as c where c.job_id = j.id
) as c
"""

# Wrong in any snapshot, a tenant's included: what is shown is not what the rows say.
MISCOUNTED = f"""
with truth as materialized ({TRUTH}),
shown as (
  select
    j.id as job_id,
    'get_job_progress' as source,
    array[
      p.tasks_total, p.tasks_done, p.tasks_error, p.tasks_skipped, p.cards_total, p.cards_in_review,
      p.cards_approved, p.cards_rejected, p.cards_done, p.cards_other, p.pending, p.running
    ] as counts
  from public.jobs as j
  cross join lateral public.get_job_progress(j.id) as p
  union all
  select
    m.job_id,
    'job_metrics_live',
    array[
      m.tasks_total, m.tasks_completed, m.tasks_failed, m.tasks_skipped, m.cards_total,
      m.cards_in_review, m.cards_approved, m.cards_rejected, m.cards_done, m.cards_other,
      m.tasks_pending, m.tasks_running
    ]
  from public.job_metrics_live as m
)
select format('%s of job %s: %s, recount %s', s.source, t.job_id, s.counts, t.counts || t.open)
from truth as t
full join shown as s on s.job_id = t.job_id
where s.counts is distinct from t.counts || t.open
"""

# Wrong in any snapshot: what may never be seen, whoever is in the middle of what.
WRONG = f"""
{MISCOUNTED}
union all
select format('job %s succeeded with open tasks or cards: %s %s', j.id, t.counts, t.open)
from truth as t
inner join public.jobs as j on j.id = t.job_id
where j.status = 'succeeded'
  and (t.open <> '{{0,0}}' or t.counts[6] + t.counts[7] + t.counts[10] > 0)
union all
select format('job %s is %s and its tasks are claimable: %s', j.id, j.status, r.job_id is not null)
from public.jobs as j
left join jobsdb.runnable_jobs as r on r.job_id = j.id
where (j.status = 'running' and j.paused_at is null) <> (r.job_id is not null)
union all
select format('job %s went from %s, but it was %s', e.job_id, e.old_status, e.was)
from (
  select
    e.job_id,
    e.old_status,
    lag(e.new_status, 1, 'pending') over (partition by e.job_id order by e.id) as was
  from jobsdb.events as e where e.entity = 'job'
) as e
where e.old_status <> e.was
union all
select format('card %s has a task of another job', c.id)
from public.kanban_cards as c
where c.task_id is not null and not exists (
  select from public.job_tasks as t where t.id = c.task_id and t.job_id = c.job_id
)
union all
select format('sums of job %s: %s, recount %s', j.id, s.summed, r.counted)
from public.jobs as j
cross join lateral jobsdb.rollup_of(j.id) as a
cross join lateral (
  select r.*, (select sum(n) from unnest((r.run).counts) as n) as n
  from jobsdb.rollup_of(j.id, true) as r
) as b
cross join lateral (
  -- What a closed job has skipped is what is left over, whatever its rows still say.
  select case when j.status in ('failed', 'cancelled') then 'skipped' else '' end as unknown
) as u
cross join lateral (
  select jsonb_object_agg(k.key, k.value - u.unknown) as kinds
  from jsonb_each(a.kinds) as k where k.value ->> 'total' <> '0'
) as s1
cross join lateral (
  select jsonb_object_agg(k.key, k.value - u.unknown) as kinds from jsonb_each(b.kinds) as k
) as r1
cross join lateral (
  -- Of more than a thousand different durations, added up bit by bit, only the number is the same.
  select case when b.n > 1000
    then array[(select sum(n) from unnest((a.run).counts) as n)]::text
    else row(a.run, a.wait)::text
  end as times
) as s2
cross join lateral (
  select case when b.n > 1000
    then array[(select sum(n) from unnest((b.run).counts) as n)]::text
    else row(b.run, b.wait)::text
  end as times
) as r2
cross join lateral (select row(s1.kinds, a.retries, s2.times)::text as summed) as s
cross join lateral (select row(r1.kinds, b.retries, r2.times)::text as counted) as r
where s.summed <> r.counted
"""

# Wrong when everybody has committed and refresh_job_metrics() has run.
WRONG_AT_REST = f"""
with truth as materialized ({TRUTH})
select format('columns of job %s: %s, recount %s', j.id, s.counts, t.counts)
from public.jobs as j
inner join truth as t on t.job_id = j.id
cross join lateral (
  select array[
    j.tasks_total, j.tasks_done, j.tasks_error, j.tasks_skipped, j.cards_total, j.cards_in_review,
    j.cards_approved, j.cards_rejected, j.cards_done, j.cards_other
  ] as counts
) as s
where s.counts <> t.counts
union all
select format('job_metrics of job %s: %s, recount %s', t.job_id, s.counts, t.counts || t.open)
from truth as t
full join (
  select
    m.job_id,
    array[
      m.tasks_total, m.tasks_completed, m.tasks_failed, m.tasks_skipped, m.cards_total,
      m.cards_in_review, m.cards_approved, m.cards_rejected, m.cards_done, m.cards_other,
      m.tasks_pending, m.tasks_running
    ] as counts
  from public.job_metrics as m
) as s on s.job_id = t.job_id
where s.counts is distinct from t.counts || t.open
union all
select format('%s rows of job %s in job_metrics', count(*), m.job_id)
from public.job_metrics as m group by m.job_id having count(*) > 1
union all
select format('a delta of job %s is left', d.job_id) from jobsdb.job_deltas as d
union all
select format('a missed step of job %s is left', m.job_id) from jobsdb.missed_steps as m
union all
select format('task %s is %s in job %s, which is %s', t.id, t.status, j.id, j.status)
from public.job_tasks as t
inner join public.jobs as j on j.id = t.job_id
where j.status in ('failed', 'cancelled') and t.status in ('pending', 'running')
union all
select format('step %s is claimable: %s; not finished: %s', t.step, t.pos is not null, w.steps)
from public.job_tasks as t
cross join lateral (
  select array_agg(u.step) as steps
  from public.job_tasks as u
  where u.job_id = t.job_id
    and u.batch = t.batch
    and u.step < t.step
    and u.status in ('pending', 'running', 'error')
    and (u.step = any(t.depends_on) or (t.depends_on is null and u.id < t.id))
) as w
inner join public.jobs as j on j.id = t.job_id and j.status in ('pending', 'running')
where t.status = 'pending' and t.scheduled_for is null and (
  (t.pos is null and w.steps is null)
  -- An older step that its planner could not see yet when it was inserted is not awaited.
  or (t.pos is not null and w.steps is not null and t.depends_on is not null)
)
"""


class Step:
    """A statement under way in a session of its own."""

    def __init__(self, session: "Session", future: "Future[list[tuple[Any, ...]]]") -> None:
        self.session = session
        self.future = future

    def waits(self) -> bool:
        """Return True as soon as the statement waits for a lock, False when it has ended."""
        waited = "select max(clock_timestamp() - l.waitstart) > %s * interval '1 second'"
        waiting = f"{waited} from pg_locks as l where l.pid = %s and not l.granted"
        pid = self.session.conn.info.backend_pid
        deadline = time.monotonic() + TOO_LONG
        while not self.future.done() and time.monotonic() < deadline:
            if self.session.stage.watch.execute(waiting, [WAITS, pid]).fetchone()[0]:
                return True
            time.sleep(0.002)
        self.rows_or_error()
        return False

    def ends(self) -> bool:
        """Return True as soon as the statement has ended, while everybody else stands still."""
        return bool(wait([self.future], ENDS).done)

    def rows_or_error(self) -> list[tuple[Any, ...]] | psycopg.Error:
        """Return what has come of the statement; one that does not end is a failure."""
        try:
            return self.future.result(TOO_LONG)
        except psycopg.Error as error:
            return error
        except TimeoutError:
            self.session.conn.cancel_safe()
            raise AssertionError("the statement does not end") from None

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows of the statement, or raise its error, when it has ended."""
        result = self.rows_or_error()
        if isinstance(result, psycopg.Error):
            raise result
        return result

    def outcome(self) -> str:
        """Return "ok", or the SQLSTATE with which the statement ended."""
        result = self.rows_or_error()
        return (result.sqlstate or str(result)) if isinstance(result, psycopg.Error) else "ok"


class Session:
    """A connection whose statements run in a thread of their own, so that they can wait."""

    def __init__(self, stage: "Stage", role: str, sub: UUID | None) -> None:
        self.stage = stage
        self.conn = psycopg.connect(stage.url, autocommit=True)
        self.thread = ThreadPoolExecutor(1)
        claims = {"role": role, "sub": str(sub)} if sub else {"role": role}
        settings = {"statement_timeout": f"{TOO_LONG}s", "role": role}
        for name, value in {**settings, "request.jwt.claims": json.dumps(claims)}.items():
            self.conn.execute("select set_config(%s, %s, false)", [name, value])

    def start(self, statement: str, values: Any = None) -> Step:
        """Send a statement without waiting for its end."""

        def execute() -> list[tuple[Any, ...]]:
            cursor = self.conn.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        return Step(self, self.thread.submit(execute))

    def run(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Send a statement and return its rows; the witness looks afterwards."""
        rows = self.start(statement, values).rows()
        self.stage.look()
        return rows

    def attempt(self, statement: str, values: Any = None) -> str:
        """Send a statement and return its outcome; the witness looks afterwards."""
        outcome = self.start(statement, values).outcome()
        self.stage.look()
        return outcome

    def begin(self, isolation: str = "read committed") -> None:
        """Open a transaction and take its snapshot, where the level keeps one."""
        self.start(f"begin isolation level {isolation}").rows()
        if isolation != "read committed":
            self.start("select from public.jobs limit 1").rows()

    def end(self, how: str = "commit") -> str:
        """End the transaction; the witness looks afterwards."""
        return self.attempt(how)

    def close(self) -> None:
        """Cancel what is still running and disconnect."""
        self.conn.cancel_safe()
        self.thread.shutdown()
        self.conn.close()


class Stage:
    """A database with sessions in it and a witness, who recounts in snapshots of his own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sessions: list[Session] = []
        self.watch = psycopg.connect(url, autocommit=True)
        self.witness = psycopg.connect(url, autocommit=True)
        self.witness.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self.snapshots = 0
        self.org = uuid4()
        self.deadlocks = self.count_deadlocks()

    def session(self, role: str = "authenticated") -> Session:
        """Return a new session: of the tenant the jobs belong to, else of an agent or the owner.

        Roles: authenticated, service_role, none (the owner).
        """
        sub = self.org if role == "authenticated" else None
        self.sessions.append(Session(self, role, sub))
        return self.sessions[-1]

    def look(self) -> None:
        """Recount everything in a new snapshot, whatever anybody is in the middle of."""
        with self.witness.transaction():
            wrong = [row[0] for row in self.witness.execute(WRONG)]
        assert not wrong, "\n".join(wrong)
        self.snapshots += 1

    def rest(self) -> None:
        """When everybody has committed: refresh, and find every counter and every task right."""
        self.watch.execute("select public.refresh_job_metrics()")
        with self.witness.transaction():
            wrong = [row[0] for row in self.witness.execute(WRONG_AT_REST)]
        assert not wrong, "\n".join(wrong)
        self.look()

    def count_deadlocks(self) -> int:
        """Return how many deadlocks the server has broken in this database."""
        self.watch.execute("select pg_stat_force_next_flush()")
        found = "select deadlocks from pg_stat_database where datname = current_database()"
        return int(self.watch.execute(found).fetchone()[0])

    def close(self) -> None:
        """Close all sessions; there must have been no deadlock."""
        for session in self.sessions:
            session.close()
        deadlocks = self.count_deadlocks() - self.deadlocks
        self.watch.close()
        self.witness.close()
        assert deadlocks == 0, f"{deadlocks} deadlocks"

    def job(self, status: str = "running") -> dict[str, Any]:
        """Make a job with something of everything in it; return the names statements use.

        Tasks: steps 1 done, 2 running, 3 pending, 4 error, 5 after 2 and 3, 6 after 3. Cards:
        shown, approved, rejected, and two without a job: free and free_approved. In a job that is
        "closable" steps 2, 3, 5 and 6 and the cards shown and approved are done.
        """
        with self.watch.transaction():
            names = self._cast(status)
        self.look()
        return names

    def _cast(self, status: str) -> dict[str, Any]:
        def run(statement: str, **more: Any) -> Any:
            cursor = self.watch.execute(statement, {**names, **more})
            return cursor.fetchall() if cursor.description else None

        names: dict[str, Any] = {"org": self.org}
        new = "insert into public.jobs (org_id, name) values (%(org)s, 'a job') returning id"
        names["job"], names["other"] = run(new)[0][0], run(new)[0][0]
        tasks = run(
            "insert into public.job_tasks (job_id, step, kind, depends_on) values"
            " (%(job)s, 1, 'research', '{}'), (%(job)s, 2, 'research', '{}'),"
            " (%(job)s, 3, 'research', '{}'), (%(job)s, 4, 'research', '{}'),"
            " (%(job)s, 5, 'research', '{2,3}'), (%(job)s, 6, 'research', '{3}') returning id"
        )
        for name, task in zip(
            ("done", "running", "pending", "error", "after", "last"), tasks, strict=True
        ):
            names[name] = task[0]
        move = "update public.job_tasks set status = %(to)s where id = any(%(ids)s)"
        run(move, to="done", ids=[names["done"]])
        run(move, to="error", ids=[names["error"]])
        run(move, to="running", ids=[names["running"]])
        for title in ("shown", "approved", "rejected", "free", "free_approved"):
            card = run(
                "insert into public.kanban_cards (org_id, job_id, task_id, type, title)"
                " values (%(org)s, %(to_job)s, %(to_task)s, 'send_email', %(title)s) returning id",
                title=title,
                to_job=None if title.startswith("free") else names["job"],
                to_task=None if title.startswith("free") else names["done"],
            )
            names["card_" + title] = card[0][0]
        decide = "update public.kanban_cards set state = %(to)s where id = any(%(ids)s)"
        run(decide, to="approved", ids=[names["card_approved"], names["card_free_approved"]])
        run(decide, to="rejected", ids=[names["card_rejected"]])
        if status == "closable":
            run(move, to="done", ids=[names[n] for n in ("running", "pending", "after", "last")])
            run(decide, to="approved", ids=[names["card_shown"]])
            run(decide, to="done", ids=[names["card_shown"], names["card_approved"]])
        if status != "pending":
            run("select public.transition_job_status(%(job)s, 'running')")
        return names

    def clear(self) -> None:
        """Delete all jobs and cards."""
        self.watch.execute("delete from public.jobs")
        self.watch.execute("delete from public.kanban_cards")


@contextmanager
def open_stage(url: str) -> Iterator[Stage]:
    """Yield a stage on a database; afterwards everything must be right and nobody deadlocked."""
    stage = Stage(url)
    try:
        yield stage
    finally:
        stage.close()
