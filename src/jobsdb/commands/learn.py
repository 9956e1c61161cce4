"""`jobsdb explain` and `docs`: their options and help."""

from __future__ import annotations

import click

from jobsdb.errors import Exit
from jobsdb.options import database_option, debug_option, json_option


@click.command(short_help="Tell what happens when …, in firing order.")
@click.argument("word", metavar="TABLE|FUNCTION|STATUS")
@database_option
@json_option
@debug_option
def explain(word: str, database: str | None, as_json: bool) -> Exit:
    """Tell what happens when a row changes, a function is called or a status is reached.

    In firing order, with who may do it and the file in which it stands; from the catalog of the
    database, so it tells what is there. Exit code 1 when the word means nothing here.

    \b
    Examples:
      jobsdb explain approved            what happens when a card is approved
      jobsdb explain kanban_cards
      jobsdb explain job_tasks.status
      jobsdb explain review_card --json
    """
    from jobsdb import catalog, connect, render
    from jobsdb import explain as explaining

    with connect.open_database(database) as conn:
        found = catalog.read(conn)
    meanings = explaining.find(found, word)
    if as_json:
        render.document(explaining.document(word, meanings))
    else:
        for line, style in explaining.text(found, meanings):
            render.out(line, style)
    return Exit.DONE
