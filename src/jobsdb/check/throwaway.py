"""`jobsdb verify --local`: a PostgreSQL that lives as long as the command.

On it stand, in this order: what Supabase has, the migrations of an application, jobsdb. These
belong to a role that is no superuser when jobsdb is deployed and verified, as in production. Its
files are in a folder of its own below the system's folder for temporary files. Interrupted or
failed, the command stops the server and removes the folder; what a killed one left behind, the next
one does.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from jobsdb import local, render, wire
from jobsdb.connect import connect
from jobsdb.deploy.migrate import Event, migrate
from jobsdb.errors import Exit, JobsdbError, UsageError
from jobsdb.sqlfiles import SqlFile, normalise, sql_root

if TYPE_CHECKING:
    import psycopg

NAME = "verify"
PREFIX = "jobsdb-verify-"
OWNER = "deployer"
"""The role that sql/verify/local/deployer.sql makes."""
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""Nothing of it survives anyway."""

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FOREIGN_HINTS = {
    "42P01": "If it is one of jobsdb's: `jobsdb bundle DIR` puts jobsdb among your migrations,"
    " before those that use it.",
    "0A000": "The embedded PostgreSQL has only the extensions of its package: verify a database"
    " of your own with -d, after `jobsdb migrate`.",
}


@contextmanager
def database(application: Path | None = None) -> Iterator[str]:
    """The URL of a database with jobsdb, for its owner, on a server that is gone afterwards.

    `application` is a folder of SQL migrations that are run before. Errors: JobsdbError with SQL,
    file and line when one of them fails; UsageError when there are none; as migrate().
    """
    files = read(application) if application else []
    with _server() as url:
        with render.Steps() as steps:
            owner = _install(url, files, steps)
        yield owner


def read(folder: Path) -> list[SqlFile]:
    """The migrations of an application in the order of their names.

    Errors: UsageError when there are none or one cannot be read.
    """
    try:
        files = [
            SqlFile(str(path), "present", 0, normalise(path.read_bytes()))
            for path in sorted(folder.glob("*.sql"))
        ]
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"a migration in {folder} cannot be read: {exc}") from exc
    if not files:
        raise UsageError(
            f"there are no SQL files in {folder}",
            hint="Name the folder, such as supabase/migrations.",
        )
    return files


def _install(admin: str, files: list[SqlFile], steps: render.Steps) -> str:
    """What Supabase has, the application's files, jobsdb. The URL of the role that owns them."""
    from psycopg.conninfo import make_conninfo

    def progress(event: Event) -> None:
        if event.kind != "connected":
            steps.show(event)

    migrate(admin, only_prerequisites=True, progress=progress)
    for name in ("supabase.sql", "deployer.sql"):
        stand_in = sql_root() / "verify" / "local" / name
        _send(admin, SqlFile(str(stand_in), "present", 0, normalise(stand_in.read_bytes())))
    owner = make_conninfo(admin, user=OWNER)
    for file in files:
        steps.start(file.path)
        _send(owner, file)
        steps.done()
    with connect(admin) as conn:
        conn.execute(f"alter role {OWNER} nosuperuser")
    migrate(owner, progress=progress)
    return owner


def _send(url: str, file: SqlFile) -> None:
    """Run a file as one statement string in a session of its own: all of it or nothing."""
    conn = connect(url)
    try:
        wire.send(conn, [file])
        if conn.info.transaction_status != 0:
            raise JobsdbError(
                "the file leaves a transaction open, or reads rows from stdin",
                code=Exit.SQL,
                at=file.path,
                hint="End it with commit; and write insert instead of copy … from stdin.",
            )
    except wire.FileError as exc:
        raise _refused(exc.cause, exc.at.removeprefix("sql/")) from exc
    finally:
        conn.close()


def _refused(cause: psycopg.Error, at: str) -> JobsdbError:
    """An error in somebody else's file, in the words of the server."""
    diag = cause.diag
    state = cause.sqlstate or ""
    return JobsdbError(
        diag.message_primary or str(cause),
        code=Exit.SQL,
        detail=diag.message_detail,
        at=at,
        sqlstate=cause.sqlstate,
        hint=diag.message_hint or _FOREIGN_HINTS.get(state),
        note="The throw-away database is gone; nothing else was touched.",
    )


@contextmanager
def _server() -> Iterator[str]:
    """The URL of a server that is stopped and removed afterwards, whatever happens."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _is_left_behind(left):
            _remove(left)
    folder: Path | None = None
    terminate = signal.signal(signal.SIGTERM, _interrupt)
    hang_up = signal.signal(signal.SIGHUP, _interrupt)
    try:
        with _uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
            folder.chmod(0o755)  # root's server runs as another account
            server = local.start(NAME, FORGETFUL, data_root=folder)
        yield server.url()
    finally:
        with suppress(KeyboardInterrupt), _uninterrupted():
            if folder is not None:
                _remove(folder)
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGHUP, hang_up)


def _remove(folder: Path) -> None:
    """Stop the server in a folder and remove it."""
    local.stop(NAME, folder)
    shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(folder: Path) -> bool:
    """Whether a folder is of a command of ours that was killed."""
    try:
        if folder.stat().st_uid != os.geteuid():
            return False
        os.kill(int(folder.name.removeprefix(PREFIX).partition("-")[0]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and the like take effect at the end, so that no server is left half started."""
    came: list[int] = []
    before = {each: signal.getsignal(each) for each in _INTERRUPTS}
    for each in _INTERRUPTS:
        signal.signal(each, lambda number, frame: came.append(number))
    try:
        yield
    except Exception:
        if not came:  # or else the signal went to its programs, too
            raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if came:
        raise KeyboardInterrupt
