"""The commands of `jobsdb`: options, help and exit codes. What they do stands in other modules,
which are imported when they are needed, so that `jobsdb --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from jobsdb.errors import Exit, JobsdbError
from jobsdb.options import (
    Duration,
    InOrder,
    database_option,
    debug_option,
    json_option,
    not_blank,
    patience_options,
    sample_database_option,
    version_option,
    yes_option,
)
from jobsdb.run import run


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
@debug_option
def cli() -> None:
    """Deploy jobsdb into a PostgreSQL database, check it, and try it.

    \b
    Examples:
      jobsdb demo                     play ten days of a campaign, in seconds
      jobsdb migrate -d URL           deploy, or bring up to date
      jobsdb verify -d URL            check that the database is what it should be

    \b
    Exit codes:
      0 done or true       1 the answer is no         2 usage
      3 cannot connect     4 lock not obtained,       5 SQL error,
        or not permitted     nothing changed            rolled back
      6 refused          130 interrupted
    """


@cli.command(short_help="Deploy, or bring up to date.")
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
@debug_option
def migrate(
    database: str | None,
    wait: float,
    lock_timeout: float,
    statement_timeout: float,
    prerequisites: bool,
    again: bool,
) -> Exit:
    """Bring a database to the state of this release, in one transaction.

    Safe at any moment and any number of times: it waits for no lock longer than --lock-timeout,
    rolls back and tries again, and does nothing when there is nothing to do.

    \b
    Examples:
      jobsdb migrate
      jobsdb migrate -d postgresql://deploy@db.example/crm
      jobsdb migrate --wait 10min
    """
    from jobsdb import connect, render
    from jobsdb import migrate as migration

    target = connect.choose(database)
    with render.Steps() as steps:
        result = migration.migrate(
            target,
            wait=wait,
            lock_timeout=lock_timeout,
            statement_timeout=statement_timeout,
            progress=steps.show,
            only_prerequisites=prerequisites,
            again=again,
        )
    if prerequisites:
        render.out("The prerequisites are there.")
        return Exit.DONE
    if result.applied:
        count = len(result.applied)
        done = f"{count} migration{'s' if count > 1 else ''} applied."
    elif result.refreshed:
        done = "The present state was brought up to date."
    elif result.adopted:
        done = "The adoption of the host's tables was finished."
    else:
        done = "Nothing to do."
    render.out(f"{done} Schema is at {result.schema}.")
    if result.applied or result.refreshed:
        render.say("next: jobsdb verify")
    return Exit.DONE


@cli.command(short_help="Check that a database is what it should be.")
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


@cli.command(short_help="Load sample campaigns.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@sample_database_option
@click.option("--list", "list_", is_flag=True, help="List the sample campaigns and stop.")
@click.option("--remove", is_flag=True, help="Remove them again.")
@click.option("--org", type=click.UUID, metavar="UUID", help="Load them into this organisation.")
@click.option(
    "--as", "as_user", type=click.UUID, metavar="UUID",
    help="Make this user a member of their organisations.",
)  # fmt: skip
@click.option(
    "--scale", type=click.IntRange(min=1), metavar="N",
    help="Generate tasks until there are N, in jobs of 20,000 each.",
)  # fmt: skip
@click.option(
    "--step", "later", metavar="INTERVAL",
    help="Let so much time pass for the samples: 4d, 12h, 30m, '1 week'. Who is due is planned.",
)  # fmt: skip
@click.option(
    "--from", "contacts", type=click.Path(path_type=Path), metavar="CSV",
    help="Load contacts of your own: contact_key (or id), email, groups, time_zone; every other"
    " column becomes an attribute.",
)  # fmt: skip
@click.option(
    "--params", type=click.Path(path_type=Path), metavar="JSON",
    help="Create a job of your own, from what create_job takes or its params alone.",
)  # fmt: skip
@yes_option
@debug_option
def seed(
    names: tuple[str, ...],
    database: str | None,
    list_: bool,
    remove: bool,
    org: Any,
    as_user: Any,
    scale: int | None,
    later: str | None,
    contacts: Path | None,
    params: Path | None,
    yes: bool,
) -> int:
    """Load sample campaigns: all of them, or those named. Loading twice changes nothing.

    Or load a campaign of your own, in organisation --org, else in sample organisation A.

    Asks first when the server is neither on this machine nor embedded, or holds other jobs.

    \b
    Examples:
      jobsdb seed --list
      jobsdb seed amc-q4-followup
      jobsdb seed --step 4d
      jobsdb seed --from contacts.csv --params my.json
      jobsdb seed --scale 1000000
      jobsdb seed --remove
    """
    from jobsdb import seed as seeding

    return seeding.run(
        database,
        names,
        org=org and str(org),
        as_user=as_user and str(as_user),
        scale=scale,
        list_=list_,
        remove=remove,
        later=later,
        contacts=contacts,
        params=params,
        yes=yes,
    )


@cli.command(short_help="Show what is installed, what is pending, how campaigns stand.")
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


@cli.command(short_help="Run a shell command for each task.")
@database_option
@click.option(
    "--kinds", required=True, callback=not_blank, metavar="KIND,...",
    help="The kinds of task the command can do.",
)  # fmt: skip
@click.option(
    "--exec", "command", required=True, callback=not_blank, metavar="CMD",
    help="The shell command.",
)  # fmt: skip
@click.option(
    "--slots", type=click.IntRange(1, 100), default=1, show_default=True,
    help="How many tasks run at once.",
)  # fmt: skip
@click.option(
    "--lease", type=Duration(1, 86_400), default="60s", show_default=True,
    help="How long after the death of this worker others may take its tasks.",
)  # fmt: skip
@click.option("--org", type=click.UUID, metavar="UUID", help="Tasks of this organisation only.")
@click.option("--worker", metavar="NAME", help="What to call this worker; else HOST:PID.")
@click.option(
    "--poll", type=Duration(0.05, 3_600), default="1s", show_default=True,
    help="How long to wait when there is nothing to do.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Stop when nothing is left to claim now.")
@debug_option
def work(
    database: str | None,
    kinds: str,
    command: str,
    slots: int,
    lease: float,
    org: Any,
    worker: str | None,
    poll: float,
    once: bool,
) -> None:
    """Claim tasks and run a shell command for each: the task comes as JSON on stdin.

    Exit status 0: the task is done, and stdout is its output, a JSON object or nothing.
    Another: it failed, stderr says why, and it is tried again as often as its kind allows.
    JOBSDB_TASK_ID and JOBSDB_LEASE_TOKEN are set, for assert_lease.

    SIGTERM or Ctrl-C: finish what runs; the second time, stop it and give its tasks back.

    \b
    Examples:
      jobsdb work --kinds research --exec ./research.py
      jobsdb work --kinds draft_email,follow_up --exec 'python agent.py' --slots 4
      jobsdb work --kinds research --exec cat --once
    """
    import os
    import platform

    from jobsdb import work as working

    working.Worker(
        command=command,
        kinds=kinds.replace(",", " ").split(),
        slots=slots,
        lease=lease,
        org=org and str(org),
        name=worker or f"{platform.node()}:{os.getpid()}",
        poll=poll,
        once=once,
    ).run(database)


@cli.command(short_help="Write SQL files that install jobsdb by hand.")
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


@cli.command(short_help="Play ten days of a campaign, in seconds, and prove it right.")
@sample_database_option
@debug_option
def demo(database: str | None) -> int:
    """Play ten days of a campaign, in seconds, on the embedded PostgreSQL unless -d is given.

    Its provider of e-mail crashes, bounces and replies. At the end what it has really sent is held
    against the database: exit code 1 if anybody was mailed twice, unapproved or suppressed, or if
    a counter is wrong. Every run makes a new job, with people of its own; `jobsdb seed --remove
    demo` removes them all.

    \b
    Examples:
      jobsdb demo
      jobsdb demo -d postgresql://localhost/scratch
    """
    from jobsdb import demo as play

    return play.run(database)


@cli.group()
def local() -> None:
    """Start, stop and find the embedded PostgreSQL.

    \b
    Examples:
      jobsdb local start
      psql "$(jobsdb local url)"
      jobsdb local stop
    """


def _local_command(word: str, help_text: str) -> None:
    """Add one of the four commands of `jobsdb local`."""

    @local.command(word, help=help_text)
    @debug_option
    def command() -> int:
        from jobsdb import local as server
        from jobsdb import render

        try:
            if word == "stop":
                render.out("stopped" if server.stop() else "it was not running")
                return Exit.DONE
            found = server.start() if word == "start" else server.status()
        except server.LocalServerError as exc:
            raise JobsdbError(exc.message, code=Exit.CONNECT, hint=exc.hint) from exc
        if found is None:
            render.say("the embedded PostgreSQL is not running; start it: jobsdb local start")
            return Exit.NO
        if word == "status":
            render.out(f"running    {found.url()}")
        else:
            render.out(found.url())
        return Exit.DONE


_local_command("start", "Start it, make it on first use, and print its URL.")
_local_command("stop", "Stop it; its data stays.")
_local_command("status", "Say whether it is running; exit code 1 when not.")
_local_command("url", "Print its URL; exit code 1 when it is not running.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (see errors.Exit)."""
    return run(cli, arguments)
