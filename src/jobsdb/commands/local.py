"""`jobsdb local`: its commands and help."""

from __future__ import annotations

import click

from jobsdb.errors import Exit, JobsdbError
from jobsdb.options import debug_option


@click.group()
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
