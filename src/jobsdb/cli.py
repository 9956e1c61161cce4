"""The command `jobsdb`: its help, its commands in their order, its exit codes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from jobsdb.commands import campaigns, deploy, doctor, learn, local, watching
from jobsdb.options import InOrder, debug_option, version_option
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
      jobsdb doctor -d URL            find what is wrong around it, and the remedy

    \b
    Exit codes:
      0 done or true       1 the answer is no         2 usage
      3 cannot connect     4 lock not obtained,       5 SQL error,
        or not permitted     nothing changed            rolled back
      6 refused          130 interrupted
    """


for command in (
    deploy.migrate,
    deploy.verify,
    doctor.doctor,
    campaigns.seed,
    deploy.status,
    watching.watch,
    watching.report,
    campaigns.work,
    deploy.bundle,
    campaigns.demo,
    learn.explain,
    learn.docs,
    local.local,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (see errors.Exit)."""
    return run(cli, arguments)
