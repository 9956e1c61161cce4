"""`jobsdb seed`, `work` and `demo`: their options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobsdb.options import (
    Duration,
    database_option,
    debug_option,
    not_blank,
    sample_database_option,
    yes_option,
)


@click.command(short_help="Load sample campaigns.")
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
    from jobsdb.campaigns import seed as seeding

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


@click.command(short_help="Run a shell command for each task.")
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

    from jobsdb.campaigns import work as working

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


@click.command(short_help="Play ten days of a campaign, in seconds, and prove it right.")
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
    from jobsdb.campaigns import demo as play

    return play.run(database)
