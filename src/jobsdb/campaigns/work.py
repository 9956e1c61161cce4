"""`jobsdb work`: runs a shell command for each task. Made to be copied; it decides nothing.

One loop, no threads: a round renews leases, hands in what has ended and claims for the free slots,
each call in a transaction of its own, so that poolers may stand between. Children read and write
files, need nobody, and go on while the server is away. Signals only wake the loop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from random import uniform
from tempfile import TemporaryFile
from typing import Any, LiteralString

import psycopg

from jobsdb import connect, errors, render

GRACE_S = 5.0  # from SIGTERM to SIGKILL, for children whose task was taken away
OUTPUT_BYTES, ERROR_CHARACTERS = 8 << 20, 2000

_CLAIM = """select t.id, t.kind, t.lease_token::text, (to_jsonb(t) - 'verdicts')::text
from public.claim_tasks(%(name)s, %(free)s, %(kinds)s, %(org)s, %(lease)s * interval '1s') as t"""
_RENEW = "select (public.heartbeat_tasks(array[%(id)s], %(token)s, %(lease)s * interval '1s'))[1]"
_END = {
    "done": "select (public.complete_tasks(array[%(id)s], %(token)s, array[%(output)s::jsonb]))[1]",
    "failed": "select (public.fail_tasks(array[%(id)s], %(token)s, array[%(error)s]))[1]",
    "released": "select (public.release_tasks(array[%(id)s], %(token)s))[1]",
}
_AS_ASKED = ("ok", "paused")


class Task:
    """A claimed task and the child that works on it, in a process group of its own."""

    def __init__(self, command: str, id_: int, kind: str, token: str, document: str) -> None:
        self.id, self.kind, self.token = id_, kind, token
        self.output: str | None = None
        self.error, self.kill_at = "", 0.0  # with kill_at it was told to stop
        self.files = TemporaryFile(), TemporaryFile()  # noqa: SIM115 (stdout, stderr)
        env = {**os.environ, "JOBSDB_TASK_ID": str(id_), "JOBSDB_LEASE_TOKEN": token}
        with TemporaryFile() as stdin:
            stdin.write(document.encode())
            stdin.seek(0)
            self.child = subprocess.Popen(
                command, shell=True, start_new_session=True, env=env,
                stdin=stdin, stdout=self.files[0], stderr=self.files[1],
            )  # fmt: skip

    def stop(self) -> None:
        """Ask the child and all it started to end; `has_ended` kills them when they do not."""
        if not self.kill_at and self.child.poll() is None:
            self.kill_at = time.monotonic() + GRACE_S
            with suppress(OSError):  # just gone, or somebody else's (sudo)
                os.killpg(self.child.pid, signal.SIGTERM)

    def has_ended(self) -> bool:
        """Whether the child has ended; after `stop`, whether its whole process group has."""
        ended = self.child.poll() is not None
        if self.kill_at:
            late = time.monotonic() >= self.kill_at
            with suppress(OSError):  # nobody is left
                os.killpg(self.child.pid, signal.SIGKILL if late else 0)
                return late
        return ended

    def read_result(self) -> None:
        """Fill in `error` when it went wrong, `output` when it said something."""
        fd = self.files[self.child.returncode != 0].fileno()
        start = max(os.fstat(fd).st_size - OUTPUT_BYTES, 0)
        said = os.pread(fd, OUTPUT_BYTES, start).decode(errors="backslashreplace").strip()
        if status := self.child.returncode:
            tail = render.clean(said[-ERROR_CHARACTERS:])
            self.error = errors.scrub(tail) or f"exit status {status}"
            return
        with suppress(ValueError, RecursionError):
            if not said or isinstance(json.loads(said), dict):
                self.output = said or None
                return
        self.error = f"stdout is no JSON object; it begins: {render.clean(said[:100])}"


@dataclass
class Worker:
    """Keeps its slots busy until it is told to stop. Times are seconds."""

    command: str
    kinds: list[str]
    slots: int
    lease: float
    org: str | None
    name: str
    poll: float
    once: bool
    _held: list[Task] = field(default_factory=list)
    _signals: SimpleQueue[int] = field(default_factory=SimpleQueue)
    _stops: int = 0

    def run(self, database: str | None) -> None:
        """Work to the end, with `once` until nothing is left to claim. Errors: JobsdbError."""
        self._target = connect.choose(database)
        self._connect()
        if connect.ask(self._conn, "select to_regproc('public.claim_tasks')") == [(None,)]:
            raise errors.Refused("there are no worker functions", hint="Run `jobsdb migrate`.")
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: self._signals.put(number))  # reentrant
        try:
            self._work()
        finally:
            for task in self._held:  # after an orderly end nothing is left
                task.stop()
            while not all(task.has_ended() for task in self._held):
                time.sleep(0.05)
            for task in self._held.copy():
                self._hand_in(task)

    def _work(self) -> None:
        pause = renew_at = claim_at = 0.0  # pause: set while the server is away
        while self._stops < 2 and (self._held or not self._stops):
            wait = pause * uniform(0.5, 1) or min(renew_at, claim_at) - time.monotonic()
            with suppress(Empty):
                if self._signals.get(timeout=max(wait, 0)) != signal.SIGCHLD:
                    self._stops += 1
                    render.say("stopping when what runs has ended; the second time, at once")
            try:
                if time.monotonic() >= renew_at:
                    self._renew()
                    renew_at = time.monotonic() + self.lease / 3
                ended = [task for task in self._held if task.has_ended()]
                for task in ended:
                    self._hand_in(task)
                if ended or time.monotonic() >= claim_at:
                    self._claim()
                    claim_at = time.monotonic() + self.poll
                pause = 0.0
            except errors.ConnectError as exc:
                if not pause:
                    render.warn(errors.scrub(f"{exc}; trying again"))
                pause = min(2 * pause or 0.1, 10)

    def _renew(self) -> None:
        """Heartbeats. Children whose task was taken away are told to stop."""
        for task in self._held:
            if self._call(_RENEW, vars(task))[0][0] not in _AS_ASKED:
                task.stop()

    def _claim(self) -> None:
        """Fill the free slots; with `once`, stop when there is nothing to do."""
        if not self._stops and (free := self.slots - len(self._held)):
            for row in self._call(_CLAIM, {"free": free}):
                self._held.append(Task(self.command, *row))
            self._stops += self.once and not self._held

    def _hand_in(self, task: Task) -> None:
        """Tell the server how a child ended, and free its slot."""
        task.read_result()
        word = "failed" if task.error else "done"
        if task.kill_at or (self._stops and task.child.returncode == -signal.SIGTERM):
            word = "released"  # supervisors may send SIGTERM to children as well
        try:
            verdict = self._call(_END[word], vars(task))[0][0]
        except errors.ConnectError:
            raise
        except errors.JobsdbError as exc:  # the output is too large, too deep, or no jsonb
            word, task.error = "failed", exc.sentence
            verdict = self._call(_END[word], vars(task))[0][0]
        self._held.remove(task)
        for file in task.files:
            file.close()
        if word == "failed":
            render.say(errors.scrub(f"{task.id}: {task.error.splitlines()[-1]}"))
        render.out(f"{task.id} {task.kind} {word if verdict in _AS_ASKED else verdict}")

    def _connect(self) -> None:
        self._conn = connect.connect(self._target)
        render.say(f"connected to {connect.banner(self._conn, self._target)}")

    def _call(self, query: LiteralString, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a call. Errors: ConnectError when the server is away, else JobsdbError."""
        try:
            if self._conn.closed:
                self._connect()
            with self._conn.transaction():
                self._conn.execute("set local role service_role")
                return self._conn.execute(query, vars(self) | values).fetchall()
        except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as exc:
            self._conn.close()
            raise errors.ConnectError(f"no answer: {errors.first_line(str(exc))}") from exc
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
