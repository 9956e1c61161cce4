"""`jobsdb watch` and `report`: their options and help."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from jobsdb.errors import Exit
from jobsdb.options import Duration, database_option, debug_option, not_blank


@click.command(short_help="Watch campaigns until they have ended.")
@click.argument("job", metavar="[JOB]", required=False, callback=not_blank)
@database_option
@click.option("--timeout", type=Duration(), help="Give up after so long; exit code 1.")
@click.option(
    "--poll", type=Duration(0.05, 3_600), default="1s", show_default=True,
    help="How long to wait between two looks.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
@debug_option
def watch(
    job: str | None, database: str | None, timeout: float | None, poll: float, as_json: bool
) -> Exit:
    """Watch a campaign, by its id or name, or all that are open, until they have ended.

    On a terminal: tasks, cards to review, e-mails, errors, rates, what is due, and of one JOB what
    it waits for. Elsewhere a line per event.

    Exit code 0 when all have succeeded, else 1. It only reads, and reconnects when the server
    comes back.

    \b
    Examples:
      jobsdb watch
      jobsdb watch "Q4 AMC Follow-up Campaign"
      jobsdb watch 4f13960c-5763-2c58-1074-41df35179424 --timeout 10min
      jobsdb watch --json | jq 'select(.type == "event")'
    """
    from jobsdb import render
    from jobsdb.watching import lines
    from jobsdb.watching import watch as watching

    with ExitStack() as stack:
        output: watching.Output
        if as_json:
            output = lines.Documents()
        elif render.is_terminal(stderr=False):
            from jobsdb.watching.frame import Screen

            output = stack.enter_context(Screen(one=job is not None))
        else:
            output = lines.Lines()
        return watching.run(database, job, output, timeout=timeout, poll=poll)


@click.command(short_help="Write a page about a campaign.")
@click.argument("job", metavar="JOB", callback=not_blank)
@database_option
@click.option(
    "-o", "--output", metavar="FILE", required=True, type=click.Path(path_type=Path),
    help="The HTML file to write; - for stdout.",
)  # fmt: skip
@debug_option
def report(job: str, database: str | None, output: Path) -> Exit:
    """Write a page about a campaign, by its id or name: one HTML file that loads nothing.

    Its funnel, what happened day by day, how long reviews took, errors, who was left out and why,
    what it waits for, and all figures, of one moment. It only reads.

    \b
    Examples:
      jobsdb report "Q4 AMC Follow-up Campaign" -o q4.html
      jobsdb report 4f13960c-5763-2c58-1074-41df35179424 -o - > q4.html
    """
    from jobsdb.watching import page

    return page.run(database, job, output)
