"""`jobsdb migrate`, `verify`, `status` and `bundle`: their options and help."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from jobsdb import __version__
from jobsdb.errors import Exit, UsageError
from jobsdb.options import (
    Rule,
    database_option,
    debug_option,
    json_option,
    not_blank,
    patience_options,
    refuse_what_means_nothing,
)

_NOT_TOGETHER = (
    Rule(
        "--prerequisites",
        "only makes roles and auth.uid()",
        ("--plan", "--sql", "--rehearse", "--adopt", "--again", "--no-checks"),
    ),
    Rule(
        "--adopt",
        "finds out by trying what fits",
        ("--plan", "--sql"),
        "`jobsdb migrate --adopt --rehearse` tries it and rolls it back.",
    ),
    Rule("--sql", "prints SQL", ("--json",), "`--plan --json` describes it."),
    Rule(
        "--plan",
        "only looks",
        ("--sql", "--rehearse", "--wait", "--lock-timeout", "--statement-timeout", "--no-checks"),
    ),
    Rule("--sql", "only prints", ("--rehearse", "--wait", "--no-checks")),
)
"""Options of `migrate` that would be ignored; every other two have their effect together."""


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
    "--adopt", "adopt_old", is_flag=True,
    help="Move an older jobs system, made by hand, to schema jobsdb_before and take its jobs over.",
)  # fmt: skip
@click.option(
    "--plan", "only_plan", is_flag=True,
    help="Show what would be done and what it would lock; exit code 1 when something is pending.",
)  # fmt: skip
@click.option("--sql", "only_sql", is_flag=True, help="Print the SQL text that would be sent.")
@click.option(
    "--rehearse", is_flag=True,
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
    adopt_old: bool,
    only_plan: bool,
    only_sql: bool,
    rehearse: bool,
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
      jobsdb migrate --adopt --rehearse
      jobsdb migrate --adopt
    """
    from jobsdb import connect, render
    from jobsdb.deploy import deployed, plan, rehearsal
    from jobsdb.deploy import migrate as migration
    from jobsdb.deploy.migrate import Options

    refuse_what_means_nothing(_NOT_TOGETHER)
    target = connect.choose(database)
    options = Options(wait, lock_timeout, statement_timeout, role, again, not no_checks, adopt_old)
    with render.Steps() as steps:
        if only_plan:
            found = plan.forecast(target, options, steps.show)
        elif only_sql:
            text = plan.text(target, options, steps.show)
        elif rehearse:
            rehearsed = rehearsal.rehearse(target, options, steps.show)
        else:
            done = migration.migrate(
                target, wait=wait, lock_timeout=lock_timeout, statement_timeout=statement_timeout,
                role=role, progress=steps.show, only_prerequisites=prerequisites, again=again,
                checks=not no_checks, adopt_old=adopt_old,
            )  # fmt: skip
    if only_plan:
        return deployed.forecast(found, as_json=as_json)
    if rehearse:
        return deployed.rehearsal(rehearsed, as_json=as_json)
    if only_sql:
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
    "--local", is_flag=True,
    help="Check this release on a throw-away PostgreSQL: migrate, verify, --behaviour.",
)  # fmt: skip
@click.option(
    "--with", "application", metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --local: run the SQL migrations of your application (DIR/*.sql) before.",
)  # fmt: skip
@click.option(
    "--strict", is_flag=True,
    help="What others have added to our tables (triggers, policies, indexes, columns, rights)"
    " fails, too.",
)  # fmt: skip
@click.option(
    "--baseline", metavar="FILE", type=click.Path(path_type=Path),
    help="Findings that do not count; each line is: NUMBER [OBJECT] # why.",
)  # fmt: skip
@click.option(
    "--format", "fmt", type=click.Choice(["text", "tap", "json", "junit", "github"]),
    default="text", show_default=True, help="Form of the result.",
)  # fmt: skip
@json_option
@debug_option
def verify(
    database: str | None,
    layers: tuple[str, ...],
    behaviour: bool,
    yes: bool,
    local: bool,
    application: Path | None,
    strict: bool,
    baseline: Path | None,
    fmt: str,
    as_json: bool,
) -> int:
    """Check that a database is what this release would make of it; name every difference.

    Only reads; --behaviour alone writes, and rolls back.
    Exit code 1 when a check fails.

    \b
    Examples:
      jobsdb verify
      jobsdb verify --layer structure --layer security --strict
      jobsdb verify --behaviour --format tap
      jobsdb verify --local --with supabase/migrations --format github
    """
    from jobsdb.check import verify as verification

    if local and database is not None:
        raise UsageError("--local has a database of its own, so -d means nothing")
    if application is not None and not local:
        raise UsageError("--with is for --local", hint="Add --local.")
    form = "json" if as_json else fmt
    with _stage(application) if local else nullcontext(database) as where:
        return verification.run(
            where, layers, behaviour or local, yes or local, form,
            strict=strict, baseline_file=baseline,
        )  # fmt: skip


def _stage(application: Path | None) -> AbstractContextManager[str]:
    """The throw-away database of `verify --local`, with every step shown."""
    from jobsdb.check import throwaway

    return throwaway.database(application)


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
    from jobsdb.deploy import status as state

    with connect.open_database(database) as conn:
        return state.run(conn, as_json=as_json)


@click.command(short_help="Write SQL files that install jobsdb by hand, or take it out.")
@click.argument("path", metavar="[PATH]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--supabase", is_flag=True,
    help="PATH has files of an older release: leave them, add one that has the rest.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True,
    help="Write nothing: exit code 1 when the files in PATH are not what this release needs.",
)  # fmt: skip
@click.option(
    "--uninstall", is_flag=True,
    help="Write the SQL that takes jobsdb out of a database, to the file PATH or to stdout.",
)  # fmt: skip
@debug_option
def bundle(path: Path | None, supabase: bool, check: bool, uninstall: bool) -> Exit:
    """Write five self-contained SQL files that install jobsdb without this command.

    PATH is a folder. Run the files in the order of their names by psql -f, in an SQL editor, or by
    supabase db push. Files that jobsdb did not write are never overwritten.

    \b
    Examples:
      jobsdb bundle by-hand
      jobsdb bundle --supabase supabase/migrations
      jobsdb bundle --check supabase/migrations
      jobsdb bundle --uninstall uninstall.sql
    """
    if uninstall and (supabase or check):
        raise click.UsageError("--uninstall stands alone")
    if path is None and not uninstall:
        raise click.MissingParameter(param_hint="'PATH'", param_type="argument")
    from jobsdb import render
    from jobsdb.deploy import bundle as bundling
    from jobsdb.deploy import folder
    from jobsdb.deploy import uninstall as uninstalling

    if path is None:
        click.echo(uninstalling.build(), nl=False)
        return Exit.DONE
    if uninstall:
        uninstalling.write(path)
        render.out(f"written    {path}")
        return Exit.DONE
    if check:
        found = folder.check(path)
        for finding in found:
            render.out(f"{finding.word:9}  {finding.name}: {finding.why}")
        if found:
            render.say(f"next: jobsdb bundle --supabase {path}")
        else:
            render.out(f"{path} has what release {__version__} needs.")
        return Exit.NO if found else Exit.DONE
    written = folder.write(path, datetime.now(UTC)) if supabase else bundling.write(path)
    for file, new in written:
        render.out(f"{'written  ' if new else 'unchanged'}  {file}")
    return Exit.DONE
