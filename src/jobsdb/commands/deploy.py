"""`jobsdb migrate`, `verify`, `status` and `bundle`: their options and help."""

from __future__ import annotations

from pathlib import Path

import click

from jobsdb.errors import Exit, UsageError
from jobsdb.options import (
    database_option,
    debug_option,
    json_option,
    not_blank,
    patience_options,
)


@click.command(short_help="Deploy, or bring up to date.")
@database_option
@patience_options
@click.option(
    "--prerequisites", is_flag=True,
    help="Only make the roles and auth.uid() a dump of jobsdb needs before it is restored.",
)  # fmt: skip
@click.option(
    "--again", is_flag=True,
    help="Apply functions, triggers, policies and views even when they have not changed.",
)  # fmt: skip
@click.option(
    "--plan",
    "mode",
    flag_value="plan",
    help="Show what would be done and what it would lock; exit code 1 when something is pending.",
)
@click.option("--sql", "mode", flag_value="sql", help="Print the SQL text that would be sent.")
@click.option(
    "--rehearse", "mode", flag_value="rehearse",
    help="Do everything with the real locks, measure them, and roll it back.",
)  # fmt: skip
@click.option("--role", metavar="ROLE", callback=not_blank, help="Deploy as this role.")
@click.option(
    "--no-checks", is_flag=True,
    help="Commit without verifying the result first: when a check is wrong, not the database.",
)  # fmt: skip
@json_option
@debug_option
def migrate(
    database: str | None,
    wait: float,
    lock_timeout: float,
    statement_timeout: float,
    prerequisites: bool,
    again: bool,
    mode: str | None,
    role: str | None,
    no_checks: bool,
    as_json: bool,
) -> Exit:
    """Bring a database to the state of this release, in one transaction.

    Safe at any moment and any number of times: it waits for no lock longer than --lock-timeout,
    rolls back and tries again, and does nothing when there is nothing to do. The result is
    verified before it is committed; when a check fails, it is rolled back (exit code 6).

    \b
    Examples:
      jobsdb migrate
      jobsdb migrate -d postgresql://deploy@db.example/crm
      jobsdb migrate --wait 10min
      jobsdb migrate --plan
      jobsdb migrate --rehearse --json
    """
    from jobsdb import connect, deployed, plan, rehearsal, render
    from jobsdb import migrate as migration
    from jobsdb.migrate import Options

    if mode is not None and prerequisites:
        raise UsageError(f"--{mode} tells about a whole deployment, not about --prerequisites")
    if mode == "sql" and as_json:
        raise UsageError("--sql prints SQL, not JSON", hint="--plan --json describes it.")
    target = connect.choose(database)
    options = Options(wait, lock_timeout, statement_timeout, role, again, not no_checks)
    with render.Steps() as steps:
        if mode == "plan":
            found = plan.forecast(target, options, steps.show)
        elif mode == "sql":
            text = plan.text(target, options, steps.show)
        elif mode == "rehearse":
            rehearsed = rehearsal.rehearse(target, options, steps.show)
        else:
            done = migration.migrate(
                target,
                wait=wait,
                lock_timeout=lock_timeout,
                statement_timeout=statement_timeout,
                role=role,
                progress=steps.show,
                only_prerequisites=prerequisites,
                again=again,
                checks=not no_checks,
            )
    if mode == "plan":
        return deployed.forecast(found, as_json=as_json)
    if mode == "rehearse":
        return deployed.rehearsal(rehearsed, as_json=as_json)
    if mode == "sql":
        click.echo(text or "-- jobsdb migrate has nothing to do here", nl=not text)
        return Exit.DONE
    return deployed.result(done, prerequisites=prerequisites, as_json=as_json)


@click.command(short_help="Check that a database is what it should be.")
@database_option
@click.option(
    "--layer", "layers", multiple=True,
    type=click.Choice(["ledger", "structure", "security", "data"]),
    help="Check this layer only; may be given several times.",
)  # fmt: skip
@click.option(
    "--behaviour", is_flag=True,
    help="Also try the state machine and tenancy as two invented tenants; rolled back.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Allow --behaviour on a database that has jobs.")
@click.option(
    "--format", "fmt", type=click.Choice(["text", "tap", "json"]), default="text",
    show_default=True, help="Form of the result.",
)  # fmt: skip
@json_option
@debug_option
def verify(
    database: str | None,
    layers: tuple[str, ...],
    behaviour: bool,
    yes: bool,
    fmt: str,
    as_json: bool,
) -> int:
    """Check that a database is what this release would make of it; name every difference.

    Only reads; --behaviour alone writes, and rolls back.
    Exit code 1 when a check fails.

    \b
    Examples:
      jobsdb verify
      jobsdb verify --layer structure --layer security
      jobsdb verify --behaviour --format tap
    """
    from jobsdb import verify as verification

    return verification.run(database, layers, behaviour, yes, "json" if as_json else fmt)


@click.command(short_help="Show what is installed, what is pending, how campaigns stand.")
@database_option
@json_option
@debug_option
def status(database: str | None, as_json: bool) -> Exit:
    """Show what is installed, what is pending, and how the campaigns stand.

    Exit code 1 when something is pending.

    \b
    Examples:
      jobsdb status
      jobsdb status --json
    """
    from jobsdb import connect
    from jobsdb import status as state

    with connect.open_database(database) as conn:
        return state.run(conn, as_json=as_json)


@click.command(short_help="Write SQL files that install jobsdb by hand.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@debug_option
def bundle(directory: Path) -> Exit:
    """Write five self-contained SQL files that install jobsdb without this command.

    Run them in the order of their names by psql -f, in an SQL editor, or by supabase db push.
    Files that jobsdb did not write are never overwritten.

    \b
    Examples:
      jobsdb bundle supabase/migrations
      jobsdb bundle by-hand
    """
    from jobsdb import bundle as bundling
    from jobsdb import render

    for path, written in bundling.write(directory):
        render.out(f"{'written  ' if written else 'unchanged'}  {path}")
    return Exit.DONE
