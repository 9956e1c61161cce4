"""One server per test process, one migrated database on it, and a clone of that for each test."""

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from pytest_postgresql import factories

import world
from helpers import BINDIR, SOAK, new_database
from jobsdb import local

# Whoever starts the tests in the background ignores Ctrl-C, and what the tests start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOM = 4 << 30  # bytes that must be free in memory for the data to go there
FAST_AND_FORGETFUL = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "statement_timeout": "10min" if SOAK else "2min",  # a test that hangs fails
}


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """Return a folder every account may enter, in memory where there is room; gone afterwards.

    Its name has our process id: what killed test runs left behind is removed first.
    """
    base = Path("/dev/shm")
    if not os.access(base, os.W_OK) or shutil.disk_usage(base).free < ROOM or is_noexec(base):
        base = Path(tempfile.gettempdir())
    for left in base.glob("jobsdb-test-*"):
        with suppress(FileNotFoundError):  # another test process may be at it as well
            if left.stat().st_uid == os.geteuid() and not is_alive(int(left.name.split("-")[2])):
                remove_servers(left)
    folder = Path(tempfile.mkdtemp(prefix=f"jobsdb-test-{os.getpid()}-", dir=base))
    folder.chmod(0o755)
    yield folder
    remove_servers(folder)


def is_noexec(folder: Path) -> bool:
    """Tell whether programs copied there could not run, as in many containers."""
    return bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)


def is_alive(pid: int) -> bool:
    """Tell whether a process of ours exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def remove_servers(data_root: Path) -> None:
    """Stop all servers at or below a folder and remove it."""
    for data in data_root.glob("**/data/PG_VERSION"):
        home = data.parent.parent
        local.stop(home.name, home.parent)
    shutil.rmtree(data_root)


@pytest.fixture
def data_root(scratch: Path) -> Iterator[Path]:
    """Return an empty data root for the servers of one test; they are stopped afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir=scratch))
    folder.chmod(0o755)
    yield folder
    remove_servers(folder)


@pytest.fixture(scope="session")
def server(scratch: Path) -> local.Server:
    """Return the server of this test process; ``scratch`` stops it."""
    return local.start("tests", FAST_AND_FORGETFUL, BINDIR, scratch)


@pytest.fixture(scope="session")
def server_address(server: local.Server) -> SimpleNamespace:
    """The server as pytest-postgresql wants to be told of it."""
    return SimpleNamespace(
        host=str(server.socket_dir),
        port=server.port,
        user="postgres",
        password="",
        options="",
        maintenance_dbname="postgres",
        template_dbname=None,
    )


def install(*, host: str, port: int, user: str, dbname: str, **_: object) -> None:
    """Install jobsdb, with the prerequisites that an empty database lacks."""
    from jobsdb.deploy.migrate import migrate

    migrate(f"host={host} port={port} user={user} dbname={dbname}", checks=False)


installed = factories.postgresql_noproc(
    depends_on="server_address", dbname="jobsdb", load=[install]
)


@pytest.fixture(scope="session")
def template(installed: SimpleNamespace) -> str:
    """Return the name of the database in which jobsdb is installed, for cloning only."""
    return installed.template_dbname


@pytest.fixture
def url(server: local.Server, template: str) -> Iterator[str]:
    """Return the URL of a fresh database with jobsdb installed."""
    with new_database(server, template) as address:
        yield address


@pytest.fixture
def empty_url(server: local.Server) -> Iterator[str]:
    """Return the URL of a fresh empty database."""
    with new_database(server) as address:
        yield address


@pytest.fixture
def connect(url: str) -> Iterator[Callable[..., psycopg.Connection]]:
    """Return a function that opens further connections to the database of ``url``."""
    opened = []

    def connect(**options: object) -> psycopg.Connection:
        opened.append(psycopg.connect(url, **{"autocommit": True, **options}))
        return opened[-1]

    yield connect
    for conn in opened:
        conn.close()


@pytest.fixture
def db(connect: Callable[..., psycopg.Connection]) -> psycopg.Connection:
    """Return a connection, in autocommit mode, to the database of ``url``."""
    return connect()


@pytest.fixture(scope="module")
def module_db(server: local.Server, template: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a database of the tests of one file."""
    with (
        new_database(server, template) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn,
    ):
        yield conn


@pytest.fixture
def tx(module_db: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection in a transaction that is rolled back; all counters must be true before."""
    with module_db.transaction(force_rollback=True):
        yield module_db
        world.check_counters(module_db)


@pytest.fixture(scope="session")
def scale() -> float:
    """Return how much of a long storm to run: a tenth, or all of it in ``make soak``."""
    return 1.0 if SOAK else 0.1


@pytest.fixture
def seed() -> int:
    """Return the seed for random choices; shown when the test fails, set with JOBSDB_SEED.

    `make test` always makes the same choices, so that it fails for what was changed; `make soak`
    makes others every time.
    """
    chosen = int(os.environ.get("JOBSDB_SEED") or (random.randrange(1 << 32) if SOAK else 1))
    print(f"repeat with JOBSDB_SEED={chosen}")
    return chosen
