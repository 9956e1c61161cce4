"""The text a deployment sends: what `jobsdb migrate` executes and `--sql` prints is made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobsdb import __version__
from jobsdb.connect import quoted
from jobsdb.deploy.ledger import Plan
from jobsdb.sqlfiles import SqlFile, migrations
from jobsdb.wire import BETWEEN

LOCK_KEY = int.from_bytes(b"jobsdb", "big")
"""Advisory lock (transaction level) that deployments of one database take; bundles take it too."""

ADOPT_IN_PLACE_ROWS = 1000
"""Host tables up to this size are indexed in the transaction, which has them locked already."""

RUNNER = "select set_config('jobsdb.runner', pg_catalog.pg_current_xact_id()::text, true)"
"""Tells the migrations that they are not run by hand."""

PREREQUISITES = "prerequisites"
LEDGER, ADOPTION, NOTIFY = "ledger", "adoption", "notify"
"""Names of what follows the files: recorded, small host tables adopted, PostgREST told."""


@dataclass(frozen=True)
class Step:
    """Files that are sent together. Steps without a name are not shown."""

    name: str | None
    files: tuple[SqlFile, ...]


def opening(
    server_version: int, lock_timeout: float, statement_timeout: float, role: str | None = None
) -> str:
    """The beginning of every attempt, one round trip; whatever the defaults of server and role are.

    The timeouts are seconds. The last result is one row: deployment lock obtained, server process.
    """
    values = {
        "lock_timeout": f"{max(1, round(lock_timeout * 1000))}",
        "statement_timeout": f"{round(statement_timeout * 1000)}",
        "idle_in_transaction_session_timeout": "60000",
        "search_path": "''",
        "client_min_messages": "warning",
        "check_function_bodies": "on",
        "standard_conforming_strings": "on",
        "transform_null_equals": "off",
        "quote_all_identifiers": "off",
    }
    if server_version >= 170000:
        values["transaction_timeout"] = "0"
    return "\n".join(
        (
            "begin isolation level read committed read write;",
            *([f"set local role {quoted(role)};"] if role else ()),
            *(f"set local {name} = {value};" for name, value in values.items()),
            f"select pg_catalog.pg_try_advisory_xact_lock({LOCK_KEY}), pg_catalog.pg_backend_pid()",
        )
    )


def steps(plan: Plan) -> list[Step]:
    """What is sent between the opening and the ledger, in order."""
    pending = plan.pending
    found = []
    for file in plan.files:
        if file.kind == "prerequisite":
            found.append(Step(None, (file,)))
        elif file in pending:
            found.append(Step(file.stem, (file,)))
    present = tuple(file for file in plan.files if file.kind == "present")
    return [*found, Step(f"present state, {len(present)} files", present)]


def prerequisites(files: Sequence[SqlFile]) -> Step:
    """What the first migration builds on."""
    return Step(PREREQUISITES, tuple(files[: list(files).index(migrations(files)[0])]))


def closing(plan: Plan) -> list[tuple[str, str]]:
    """Name and text of what follows the steps, up to the checks and the commit."""
    sent = [file for step in steps(plan) for file in step.files]
    paths, hashes = (
        ",\n  ".join(f"'{text}'" for text in texts)
        for texts in ([file.path for file in sent], [file.sha256 for file in sent])
    )
    record = (
        f"select jobsdb.record_applied(\n  array[{paths}],\n  array[{hashes}],"
        f"\n  '{__version__}', 'migrate'\n)"
    )
    adopt = f"select jobsdb.adopt_in_place({ADOPT_IN_PLACE_ROWS})"
    return [
        (LEDGER, record),
        *([(ADOPTION, adopt)] if plan.pending else ()),
        (NOTIFY, "notify pgrst, 'reload schema'"),
    ]


def whole(plan: Plan, opening: str) -> str:
    """Everything a deployment sends, as one text."""
    parts = [
        "-- What `jobsdb migrate` would send to this database now. One transaction: when anything\n"
        "-- fails, nothing has happened. psql runs it with: -v ON_ERROR_STOP=1 -X -f FILE\n",
        opening + ";\n-- jobsdb goes on only when this was true: nobody else deploys meanwhile\n",
        RUNNER + ";\n",
    ]
    for step in steps(plan):
        parts += [f"-- {'-' * 20} sql/{file.path}\n{file.text}{BETWEEN}" for file in step.files]
    parts.append("".join(f"{text};\n" for _, text in closing(plan)))
    parts.append(
        "-- jobsdb runs the checks of `jobsdb verify` here, which only read, and goes on if none\n"
        "-- fails\ncommit;\n"
        "-- afterwards, one by one: what `select * from jobsdb.adoption_steps()` lists\n"
    )
    return "".join(parts)
