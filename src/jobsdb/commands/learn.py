"""`jobsdb explain` and `docs`: their options and help."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

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
    from jobsdb import connect, render
    from jobsdb.learn import catalog
    from jobsdb.learn import explain as explaining

    with connect.open_database(database) as conn:
        found = catalog.read(conn)
    meanings = explaining.find(found, word)
    if as_json:
        render.document(explaining.document(word, meanings))
    else:
        for line, style in explaining.text(found, meanings):
            render.out(line, style)
    return Exit.DONE


@click.command(short_help="Write the reference: markdown and pictures.")
@click.option(
    "-o", "--out", "folder", metavar="DIR", default="docs/reference", show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder. Files that jobsdb did not write are left alone.",
)  # fmt: skip
@click.option(
    "-d", "--database", metavar="URL",
    help="A database without jobs. Without it: a throw-away PostgreSQL.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True,
    help="Write nothing: exit code 1 when the folder is not what would be written.",
)  # fmt: skip
@debug_option
def docs(folder: Path, database: str | None, check: bool) -> Exit:
    """Write the reference of a migrated database: functions, tables, states, errors, rights.

    From the catalog and its comments, the files of sql/ and --help. Examples are executed in a
    transaction that is rolled back. Pictures need graphviz, and only when they have changed.

    \b
    Examples:
      jobsdb docs
      jobsdb docs --check
      jobsdb docs -o reference -d postgresql://localhost/scratch
    """
    from jobsdb import connect, render
    from jobsdb.check import throwaway
    from jobsdb.learn import docs as reference

    server = nullcontext(database) if database else throwaway.database()
    with server as url, connect.open_database(url) as conn:
        made = reference.make(conn)
    found = reference.stale(made, folder) if check else reference.write(made, folder)
    changed = False
    for name, why in found:
        changed = True
        word = why if check else {"extra": "removed"}.get(why, "written")
        render.out(f"{word:8} {folder / name}")
    if not changed:
        render.out(f"{folder} is up to date.")
    elif check:
        render.say("next: jobsdb docs, then read the difference")
        return Exit.NO
    return Exit.DONE
