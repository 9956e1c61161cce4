"""`jobsdb status`: what is installed and how, what is pending, and how the campaigns stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobsdb import __version__, errors, render
from jobsdb.connect import identity
from jobsdb.deploy import adoption, ledger
from jobsdb.deploy.blockers import duration
from jobsdb.sqlfiles import SqlFile, load, migrations

if TYPE_CHECKING:
    from jobsdb.connect import Connection

CHANGED_SHOWN = 5
STALE_AFTER = timedelta(minutes=15)

_CAMPAIGNS = "select status, count(*) from public.jobs group by status order by status"
_METRICS = "select refreshed_at, pg_catalog.now() from jobsdb.metrics_refresh"


def run(conn: Connection, *, as_json: bool, files: Sequence[SqlFile] | None = None) -> errors.Exit:
    """Print the state of a database; NO when something is pending. Changes nothing.

    Errors: ConnectError when the ledger may not be read.
    """
    import psycopg

    files = load() if files is None else files
    try:
        document = gather(conn, files)
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc
    if as_json:
        render.document(document)
    else:
        _show(document)
    return errors.Exit.NO if document["pending"] else errors.Exit.DONE


def gather(conn: Connection, files: Sequence[SqlFile]) -> dict[str, Any]:
    """The state of a database as one document; `version` counts its incompatible changes."""
    conn.execute("begin isolation level repeatable read read only")
    plan = ledger.read(conn, files)
    complete = bool(plan.entries) and not plan.pending
    campaigns: dict[str, int] = dict(conn.execute(_CAMPAIGNS).fetchall() if complete else [])
    metrics = conn.execute(_METRICS).fetchone() if complete else None
    conn.execute("rollback")
    steps = adoption.remaining(conn)
    return {
        "version": 1,
        "pending": not plan.nothing_to_do or bool(steps),
        "schema": plan.schema if plan.entries else None,
        "database": identity(conn),
        "package": {
            "release": __version__,
            "schema": ledger.version(migrations(files)[-1].path),
        },
        "migrations": _migrations(plan),
        "changed": [file.path for file in plan.changed] if plan.entries else [],
        "adoption": steps,
        "campaigns": campaigns,
        "metrics": _metrics(*metrics) if metrics else None,
    }


def _migrations(plan: ledger.Plan) -> list[dict[str, Any]]:
    """Every migration the package or the database knows, with what became of it."""
    edited = {file.path for file in plan.edited}
    rows = []
    for path in sorted({*(file.path for file in migrations(plan.files)), *plan.unknown}):
        entry = plan.entries.get(path)
        state = "edited" if path in edited else "unknown" if path in plan.unknown else "applied"
        rows.append(
            {
                "file": path,
                "state": state if entry else "pending",
                "applied_at": entry and entry.applied_at.astimezone(UTC).isoformat(),
                "applied_by": entry and entry.applied_by,
                "route": entry and entry.route,
                "release": entry and entry.release,
                "sha256": entry and entry.sha256,
            }
        )
    return rows


def _metrics(refreshed_at: datetime, now: datetime) -> dict[str, Any]:
    age = now - refreshed_at
    return {
        "refreshed_at": refreshed_at.astimezone(UTC).isoformat(),
        "age_seconds": round(age.total_seconds()),
        "stale": age > STALE_AFTER,
    }


def _show(document: dict[str, Any]) -> None:
    """The document for people."""
    package = document["package"]
    render.out(f"database   schema {document['schema'] or 'nothing installed'}")
    render.out(f"package    jobsdb {package['release']}, schema {package['schema']}")
    render.out()
    heads = ("", "version", "migration", "when", "by", "route")
    render.table(heads, [_row(migration) for migration in document["migrations"]], indent=0)
    render.out()
    for file in document["changed"][:CHANGED_SHOWN]:
        render.out(f"changed    sql/{file}")
    if (more := len(document["changed"]) - CHANGED_SHOWN) > 0:
        render.out(f"changed    and {more} more; --json lists them all")
    for step in document["adoption"]:
        render.out(f"adoption   {step}")
    if document["campaigns"]:
        counts = (f"{count:,} {status}" for status, count in document["campaigns"].items())
        render.out(f"campaigns  {', '.join(counts)}")
    elif document["metrics"]:
        render.out("campaigns  none yet")
    if metrics := document["metrics"]:
        age = duration(timedelta(seconds=metrics["age_seconds"]))
        render.out(f"metrics    refreshed {age} ago")
        if metrics["stale"] and set(document["campaigns"]) & {"pending", "running"}:
            sentence, hint = errors.metrics_are_stale(age)
            render.warn(sentence)
            render.say(f"hint: {hint}")
    render.out(_verdict(document))


def _verdict(document: dict[str, Any]) -> str:
    states = {migration["state"] for migration in document["migrations"]}
    if "unknown" in states:
        return "The database is newer than this jobsdb: install the newer release."
    if "edited" in states:
        return "A migration was edited after it was applied: put the released file back."
    if document["pending"]:
        return "Something is pending. Run: jobsdb migrate"
    return "Nothing is pending."


def _row(migration: dict[str, Any]) -> tuple[str, ...]:
    number, _, name = migration["file"].rpartition("/")[2].removesuffix(".sql").partition("_")
    state = migration["state"]
    return (
        state if state == "applied" else state.upper(),
        number,
        name,
        (migration["applied_at"] or "")[:10],
        migration["applied_by"] or "",
        migration["route"] or "",
    )
