"""`jobsdb work`: real children, a real server, and whatever comes between the two."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import psycopg
import pytest

import commands
from commands import TOO_LONG, until
from jobsdb import errors
from jobsdb.campaigns import work
from jobsdb.local import Server
from world import counters, new_job, new_task, one, row, rows

pytestmark = pytest.mark.timeout(90)

SECRET = "hunter2-s3cret"
BARRIER = """
touch $DIR/$JOBSDB_TASK_ID
for i in $(seq 500); do [ $(ls $DIR | wc -l) -ge 3 ] && exit 0; sleep 0.02; done
exit 1
"""
# Says that it is there, starts a process of its own, and ends when it may.
WAITS = """
(trap 'touch $DIR/told; exit' TERM; touch $DIR/listens; while :; do sleep 0.05; done) &
echo $! > $DIR/helper; until [ -e $DIR/listens ]; do sleep 0.02; done
echo $$ > $DIR/child.new; mv $DIR/child.new $DIR/child
until [ -e $DIR/go ]; do sleep 0.02; done
kill $!; echo '{"went": true}'
"""


def is_running(pid: int) -> bool:
    """Tell whether a process exists that is not just waiting to be reaped."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def by_task(orders: dict[int, str]) -> str:
    """One command that does for each task what it is told."""
    cases = " ".join(f"{task}) {order} ;;" for task, order in orders.items())
    return f"case $JOBSDB_TASK_ID in {cases} esac"


class Workers:
    """Starts workers on one database; their children find a folder in DIR."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.started: list[Popen[str]] = []

    def start(self, command: str, *options: str, **variables: str) -> Popen[str]:
        arguments = ["-d", self.url, "--kinds", "research", "--poll", "0.1", *options]
        env = commands.environment(DIR=str(self.folder), **variables)
        self.started.append(commands.start("work", *arguments, "--exec", command, env=env))
        return self.started[-1]

    def run(self, command: str, *options: str, **variables: str) -> tuple[list[str], str]:
        """Work until nothing is left to claim; returns the lines of stdout, and stderr."""
        process = self.start(command, "--once", *options, **variables)
        return self.end(process)

    def end(self, process: Popen[str], code: int = errors.Exit.DONE) -> tuple[list[str], str]:
        """Wait for the end; returns the lines of stdout, and stderr, as far as they were unread."""
        out, err = process.communicate(timeout=TOO_LONG)
        assert process.returncode == code, err
        return sorted(out.splitlines()), err

    def stop(self, process: Popen[str]) -> tuple[list[str], str]:
        """Have it drain, and wait for the end."""
        process.terminate()
        return self.end(process)

    def child(self) -> int:
        """Wait until a child says that it is there; returns its process id."""
        file = self.folder / "child"
        until(file.exists, "no child was started")
        return int(file.read_text())

    def was_told(self) -> bool:
        """Tell whether the process that the child started was told to stop, and is gone."""
        helper = int((self.folder / "helper").read_text())
        return (self.folder / "told").exists() and not is_running(helper)

    def go(self) -> None:
        """Let the children end."""
        (self.folder / "go").touch()


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Iterator[Workers]:
    """Return a starter of workers; none outlives the test, and neither do their children."""
    workers = Workers(url, tmp_path)
    yield workers
    workers.go()
    for process in workers.started:
        while process.poll() is None:
            process.terminate()
            time.sleep(0.1)
        process.communicate()


@pytest.fixture
def job(db: psycopg.Connection) -> Any:
    """Return a running job without tasks."""
    return new_job(db)


def state(db: psycopg.Connection, task: int) -> str:
    return one(db, "select status from public.job_tasks where id = %s", task)


def task_row(db: psycopg.Connection, task: int) -> dict[str, Any]:
    return row(db, "select * from public.job_tasks where id = %s", task)


def backends(db: psycopg.Connection) -> list[dict[str, Any]]:
    """The connections of workers."""
    return rows(
        db,
        "select pid, state, xact_start from pg_stat_activity"
        " where datname = current_database() and application_name like 'jobsdb/%%'",
    )


def listen(process: Popen[str], word: str) -> str:
    """Read stderr up to the line with this word; returns that line."""
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"it ended without saying {word!r}")


class TestResults:
    def test_every_task_is_done_once_and_dependents_after_it(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        first = new_task(db, job, step=1)
        others = [new_task(db, job, step=2, depends_on=[1]), new_task(db, job, step=3)]
        foreign = new_task(db, job, step=4, kind="follow_up")
        lines, talk = workers.run("cat")
        assert lines == sorted(f"{task} research done" for task in (first, *others))
        assert talk.startswith("connected to postgres@")
        assert len(talk.splitlines()) == 1
        assert counters(db, job) == {"tasks_total": 4, "tasks_done": 3}
        assert state(db, foreign) == "pending"
        output = task_row(db, first)["output"]
        assert {key: output[key] for key in ("id", "kind", "step", "input", "attempt")} == {
            "id": first, "kind": "research", "step": 1, "input": {}, "attempt": 1,
        }  # fmt: skip
        assert output["job_id"] == str(job)
        assert task_row(db, others[0])["started_at"] >= task_row(db, first)["finished_at"]

    def test_nothing_to_do_is_no_error(self, workers: Workers) -> None:
        assert workers.run("cat")[0] == []

    def test_a_child_can_prove_its_lease(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        program = workers.folder / "agent.py"
        program.write_text(
            "import json, os, sys, psycopg\n"
            "task = json.load(sys.stdin)\n"
            "proof = (int(os.environ['JOBSDB_TASK_ID']), os.environ['JOBSDB_LEASE_TOKEN'])\n"
            "assert proof == (task['id'], task['lease_token'])\n"
            "with psycopg.connect(os.environ['URL']) as conn:\n"
            "    conn.execute('select public.assert_lease(%s, %s)', proof)\n"
        )
        lines, talk = workers.run(f"{sys.executable} {program}", URL=workers.url)
        assert lines == [f"{task} research done"], talk
        assert task_row(db, task)["output"] is None

    def test_what_a_failing_command_says_last_is_kept(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        orders = [
            "echo first >&2; echo no such contact >&2; echo '{}'; exit 3",
            "exit 7",
            "kill -9 $$",
            "head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1",
            "printf 'caf\\303 \\033[2J\\000\\n' >&2; exit 1",
        ]
        tasks = [new_task(db, job) for _ in orders]
        lines, talk = workers.run(by_task(dict(zip(tasks, orders, strict=True))))
        assert lines == sorted(f"{task} research failed" for task in tasks)
        assert f"{tasks[0]}: no such contact\n" in talk
        said = [task_row(db, task)["error_message"] for task in tasks]
        assert said[:3] == ["first\nno such contact", "exit status 7", "exit status -9"]
        assert said[3] == "x" * 1997 + "end"
        assert said[4] == "caf\\xc3 \ufffd[2J\ufffd"
        for task in tasks:
            found = task_row(db, task)
            assert (found["status"], found["retry_count"]) == ("pending", 1)
            assert found["waits_until"] > found["created_at"]

    def test_a_failed_task_is_tried_again(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        db.execute("update jobsdb.task_kinds set backoff = '1 ms'")
        task = new_task(db, job)
        worker = workers.start("grep -q '\"attempt\": 3' && echo '{\"third\": true}'")
        until(lambda: state(db, task) == "done", "the task is not done")
        lines, _ = workers.stop(worker)
        assert lines == [f"{task} research done", *[f"{task} research failed"] * 2]
        found = task_row(db, task)
        assert (found["output"], found["attempt"], found["retry_count"]) == ({"third": True}, 3, 2)

    def test_output_that_cannot_be_stored_is_a_failure(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        orders = {
            "echo hello": "stdout is no JSON object; it begins: hello",
            "echo '[1]'": "stdout is no JSON object; it begins: [1]",
            "echo '{}{}'": "stdout is no JSON object; it begins: {}{}",
            'printf \'{"a": "\\377"}\'': "stdout is no JSON object",
            "printf '{\"a\": NaN}'": "invalid input syntax for type json",
            'printf \'{"a": "\\\\u0000"}\'': "unsupported Unicode escape sequence",
            "printf '{\"a\": \"'; head -c 2000000 /dev/zero | tr '\\0' x; echo '\"}'": "",
        }
        tasks = [new_task(db, job) for _ in orders]
        lines, _ = workers.run(by_task(dict(zip(tasks, orders, strict=True))))
        assert lines == sorted(f"{task} research failed" for task in tasks)
        for task, said in zip(tasks, orders.values(), strict=True):
            message = task_row(db, task)["error_message"]
            assert message.startswith(said), message
        assert "large" in message

    def test_whatever_object_was_written_is_stored_as_it_is(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        workers.run("""printf '\\n {"n": 1.10, "big": 12345678901234567890.5, "s": "é"} \\n'""")
        stored = one(db, "select output::text from public.job_tasks where id = %s", task)
        assert stored == '{"n": 1.10, "s": "é", "big": 12345678901234567890.5}'


class TestSlots:
    def test_slots_run_at_once(self, workers: Workers, db: psycopg.Connection, job: Any) -> None:
        tasks = [new_task(db, job) for _ in range(3)]
        lines, _ = workers.run(BARRIER, "--slots", "3")
        assert lines == sorted(f"{task} research done" for task in tasks)

    def test_a_slot_is_filled_as_soon_as_it_is_free(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        first = new_task(db, job)
        others = [new_task(db, job) for _ in range(4)]
        order = by_task({first: WAITS, others[-1]: "touch $DIR/go"})
        lines, _ = workers.run(order, "--slots", "2", "--poll", "60")
        assert len(lines) == 5
        assert task_row(db, first)["finished_at"] >= task_row(db, others[-1])["started_at"]

    def test_nothing_more_of_a_paused_job_is_claimed(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        tasks = [new_task(db, job) for _ in range(2)]
        worker = workers.start(WAITS, "--once", "--lease", "1")
        workers.child()
        db.execute("select public.pause_job(%s)", [job])
        workers.go()
        lines, _ = workers.end(worker)
        assert lines == [f"{tasks[0]} research done"]
        assert state(db, tasks[1]) == "pending"

    def test_only_one_organisation(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        other = one(db, "select gen_random_uuid()")
        tasks = [new_task(db, job), new_task(db, new_job(db, other))]
        assert workers.run("true", "--org", str(other))[0] == [f"{tasks[1]} research done"]
        assert state(db, tasks[0]) == "pending"


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_the_first_signal_lets_children_end(
        self, workers: Workers, db: psycopg.Connection, job: Any, number: int
    ) -> None:
        running, waiting = new_task(db, job), new_task(db, job)
        worker = workers.start(WAITS)
        workers.child()
        worker.send_signal(number)
        listen(worker, "stopping")
        assert state(db, running) == "running"
        workers.go()
        assert workers.end(worker)[0] == [f"{running} research done"]
        assert task_row(db, running)["output"] == {"went": True}
        assert state(db, waiting) == "pending"

    def test_the_second_signal_gives_tasks_back(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS)
        child = workers.child()
        for _ in range(2):
            worker.terminate()
            listen(worker, "stopping")
        assert workers.end(worker)[0] == [f"{task} research released"]
        found = task_row(db, task)
        assert (found["status"], found["retry_count"], found["lease_token"]) == ("pending", 0, None)
        assert not is_running(child)
        assert workers.was_told()

    def test_a_child_that_the_supervisor_stops_too_is_no_failure(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS)
        child = workers.child()
        worker.terminate()
        listen(worker, "stopping")
        os.killpg(child, signal.SIGTERM)
        assert workers.end(worker)[0] == [f"{task} research released"]
        assert task_row(db, task)["retry_count"] == 0

    def test_whoever_ignores_the_signal_is_killed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(work, "GRACE_S", 0.2)
        order = f"trap '' TERM; echo $$ > {tmp_path}/child; while :; do sleep 0.05; done"
        task = work.Task(order, 1, "research", "token", "{}")
        until((tmp_path / "child").exists, "no child was started")
        task.stop()
        assert not task.has_ended()
        until(task.has_ended, "it is still there")
        assert task.child.wait(timeout=TOO_LONG) == -signal.SIGKILL
        for file in task.files:
            file.close()

    def test_a_reader_that_goes_away_leaves_nothing_running(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        tasks = [new_task(db, job) for _ in range(2)]
        order = by_task({tasks[0]: WAITS, tasks[1]: "until [ -e $DIR/child ]; do sleep 0.02; done"})
        worker = workers.start(order, "--slots", "2")
        worker.stdout.close()
        child = workers.child()
        until(lambda: worker.poll() is not None, "it goes on")
        assert "did not expect" not in worker.stderr.read()
        until(lambda: not is_running(child), "the child goes on")


class TestLeases:
    def test_heartbeats_keep_a_task_longer_than_its_lease(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS, "--lease", "1")
        workers.child()
        first = task_row(db, task)["lease_expires_at"]
        until(
            lambda: one(db, "select now() > %s::timestamptz + '0.5 s'", first), "time stands still"
        )
        db.execute("select public.tick()")
        workers.go()
        until(lambda: state(db, task) == "done", "the task is not done")
        assert task_row(db, task)["attempt"] == 1
        assert workers.stop(worker)[0] == [f"{task} research done"]

    def test_between_calls_the_connection_is_in_no_transaction(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        new_task(db, job)
        workers.start(WAITS)
        workers.child()
        until(
            lambda: [(b["state"], b["xact_start"]) for b in backends(db)] == [("idle", None)],
            "a transaction is open",
        )

    def test_cancelling_the_job_stops_the_child(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS, "--lease", "1")
        child = workers.child()
        db.execute("select public.cancel_job(%s)", [job])
        assert worker.stdout.readline() == f"{task} research cancelled\n"
        assert not is_running(child)
        assert workers.was_told()
        assert task_row(db, task)["output"] is None
        workers.go()
        new_task(db, new_job(db))
        assert worker.stdout.readline().endswith(" research done\n")
        workers.stop(worker)

    def test_a_task_taken_away_stops_the_child(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS, "--lease", "1")
        child = workers.child()
        db.execute("update public.job_tasks set status = 'skipped' where id = %s", [task])
        assert worker.stdout.readline() == f"{task} research revoked\n"
        assert not is_running(child)
        assert state(db, task) == "skipped"

    def test_the_task_of_a_killed_worker_comes_back(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS, "--lease", "1")
        workers.child()
        worker.kill()
        workers.end(worker, -signal.SIGKILL)
        db.execute("update jobsdb.task_kinds set backoff = '1 ms'")
        second = workers.start('echo \'{"by": "another"}\'')
        until(lambda: state(db, task) == "done", "the task did not come back")
        found = task_row(db, task)
        assert (found["output"], found["attempt"]) == ({"by": "another"}, 2)
        workers.stop(second)


class TestServer:
    def test_a_cut_connection_is_replaced(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        tasks = [new_task(db, job) for _ in range(2)]
        worker = workers.start(WAITS, "--lease", "1")
        child = workers.child()
        for backend in backends(db):
            db.execute("select pg_terminate_backend(%s, 10000)", [backend["pid"]])
        assert "trying again" in listen(worker, "no answer")
        listen(worker, "connected to ")
        assert is_running(child)
        workers.go()
        until(lambda: state(db, tasks[1]) == "done", "it did not go on")
        lines, _ = workers.stop(worker)
        assert lines == [f"{task} research done" for task in tasks]
        assert task_row(db, tasks[0])["attempt"] == 1

    def test_results_wait_for_a_server_that_is_away(
        self, workers: Workers, db: psycopg.Connection, server: Server, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS)
        child = workers.child()
        self.close(db, server)
        workers.go()
        listen(worker, "no answer")
        until(lambda: not is_running(child), "the child does not end")
        worker.terminate()
        listen(worker, "stopping")
        assert worker.poll() is None
        self.open(db, server)
        lines, talk = workers.end(worker)
        assert lines == [f"{task} research done"]
        assert talk.count("no answer") == 0
        assert task_row(db, task)["output"] == {"went": True}

    def test_a_server_that_only_reads_is_waited_for(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        """As after a failover, until the other server is promoted."""
        task = new_task(db, job)
        worker = workers.start(WAITS, "--lease", "1")
        workers.child()
        name, setting = db.info.dbname, "default_transaction_read_only"
        db.execute(f"alter database {name} set {setting} = on")
        for backend in backends(db):
            db.execute("select pg_terminate_backend(%s, 10000)", [backend["pid"]])
        for _ in range(3):
            listen(worker, "connected to ")
        workers.go()
        db.execute(f"alter database {name} reset {setting}")
        until(lambda: state(db, task) == "done", "it did not go on")
        assert workers.stop(worker)[0] == [f"{task} research done"]

    def test_who_cannot_give_tasks_back_says_so(
        self, workers: Workers, db: psycopg.Connection, server: Server, job: Any
    ) -> None:
        task = new_task(db, job)
        worker = workers.start(WAITS, "--lease", "1")
        child = workers.child()
        self.close(db, server)
        listen(worker, "no answer")
        for _ in range(2):
            worker.terminate()
            listen(worker, "stopping")
        assert workers.end(worker, errors.Exit.CONNECT)[0] == []
        assert not is_running(child)
        assert state(db, task) == "running"

    def close(self, db: psycopg.Connection, server: Server) -> None:
        """Let nobody in any more, and workers out."""
        self.open(db, server, "false")
        for backend in backends(db):
            db.execute("select pg_terminate_backend(%s, 10000)", [backend["pid"]])

    def open(self, db: psycopg.Connection, server: Server, word: str = "true") -> None:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"alter database {db.info.dbname} allow_connections {word}")


class TestRefusals:
    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--kinds", "research"],
            ["--exec", "true"],
            ["--kinds", "research", "--exec", " "],
            ["--kinds", " , ", "--exec", "true"],
            *(
                ["--kinds", "research", "--exec", "true", *more.split()]
                for more in (
                    "--slots 0", "--slots 1000", "--lease 0", "--lease -1", "--lease 25h",
                    "--lease nan", "--poll 0", "--poll soon", "--org me", "extra",
                )
            ),
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_bad_options(self, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        from jobsdb.cli import main

        assert main(["work", *options]) == errors.Exit.USAGE
        assert "Error: " in capsys.readouterr().err

    def test_an_unknown_kind(self, url: str) -> None:
        done = commands.run("work", "-d", url, "--kinds", "reserch", "--exec", "true")
        assert done.returncode == errors.Exit.SQL
        assert 'error: "reserch" is no kind of task (JB011)' in done.stderr

    def test_a_database_without_jobsdb(self, empty_url: str) -> None:
        done = commands.run("work", "-d", empty_url, "--kinds", "research", "--exec", "true")
        assert done.returncode == errors.Exit.REFUSED
        assert "hint: Run `jobsdb migrate`." in done.stderr

    def test_a_login_works_only_as_a_member_of_service_role(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        role, url = f"agent_{os.getpid()}", workers.url
        db.execute(f"create role {role} login noinherit")
        try:
            workers.url = url.replace("postgres@", f"{role}@")
            worker = workers.start("true", "--once")
            _, talk = workers.end(worker, errors.Exit.CONNECT)
            assert 'permission denied to set role "service_role"' in talk
            db.execute(f"grant service_role to {role}")
            assert workers.run("true")[0] == [f"{task} research done"]
        finally:
            db.execute(f"drop role {role}")

    def test_a_password_is_printed_by_nobody(
        self, workers: Workers, db: psycopg.Connection, job: Any
    ) -> None:
        task = new_task(db, job)
        workers.url = workers.url.replace("postgres@", f"postgres:{SECRET}@")
        lines, talk = workers.run(f"echo cannot log in with {SECRET} >&2; exit 1")
        assert lines == [f"{task} research failed"]
        assert SECRET not in talk
        assert task_row(db, task)["error_message"] == "cannot log in with ***"
