"""`jobsdb doctor`: its options and help."""

from __future__ import annotations

import click

from jobsdb.errors import Exit
from jobsdb.options import Duration, database_option, debug_option, json_option


@click.command(short_help="Find what is wrong around jobsdb, and the remedy.")
@database_option
@click.option(
    "--patience", type=Duration(), default="5min", show_default=True,
    help="Tell of transactions, and of work nobody does, that are older than this.",
)  # fmt: skip
@json_option
@debug_option
def doctor(database: str | None, patience: float, as_json: bool) -> Exit:
    """Look at what jobsdb lives in: connection, rights, server, sessions, and who does the work.

    Only reads, and works before jobsdb is installed. `jobsdb verify` checks jobsdb itself.
    Exit code 1 when something is bad; a warning alone is 0.

    \b
    Examples:
      jobsdb doctor
      jobsdb doctor --patience 30s
      jobsdb doctor --json
    """
    from jobsdb import connect
    from jobsdb.check import doctor as diagnosis

    with connect.open_database(database) as conn:
        return diagnosis.run(conn, patience, as_json=as_json)
