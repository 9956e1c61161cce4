"""`jobsdb docs`: the reference, from a migrated database, the files of sql/ and --help.

What it says is compared as text; a picture by the text it was drawn from (see pictures.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobsdb import errors
from jobsdb.learn import catalog, examples, lists, pages, pictures

if TYPE_CHECKING:
    from jobsdb.connect import Connection
    from jobsdb.learn.pictures import Picture


@dataclass(frozen=True)
class Reference:
    """All of it, by path below its folder."""

    pages: dict[str, str]
    pictures: dict[str, Picture]


def make(conn: Connection) -> Reference:
    """The reference of a database. Errors: JobsdbError, also when an example is missing."""
    found = catalog.read(conn)
    tried = examples.play(conn)
    public = [each for each in found.functions if each.schema == "public"]
    views = [each for each in found.relations if each.schema == "public" and each.kind == "view"]
    wanted = {each.name for each in public} | {each.name for each in views}
    for name in sorted(wanted ^ set(tried)):
        raise errors.JobsdbError(
            f"sql/docs/examples/{name}.sql {'is missing' if name in wanted else 'is of nothing'}",
            code=errors.Exit.INTERNAL,
            hint="Every public function and view has one example, in a file of its name.",
        )
    drawn = {picture.name: picture for picture in pictures.pictures(found)}
    written = {
        "README.md": lists.index(),
        "functions.md": pages.function_index(found),
        "tables.md": pages.relations_page(found, drawn, tried),
        "private.md": pages.private_page(found, drawn),
        "states.md": lists.states(found, drawn),
        "errors.md": lists.errors(found),
        "grants.md": lists.grants(found),
        "checks.md": lists.all_checks(),
        "cli.md": lists.commands(),
    }
    for each in public:
        written[f"functions/{each.name}.md"] = pages.function_page(each, tried[each.name])
    return Reference(written, {picture.file: picture for picture in drawn.values()})


def stale(reference: Reference, folder: Path) -> Iterator[tuple[str, str]]:
    """The files of a folder that are not as they should be: name, and missing, stale or extra.

    Extra are pages that were made once and are made no more; other files are nobody's business.
    """
    there = dict(_there(folder))
    for name in sorted({*reference.pages, *reference.pictures}):
        picture = reference.pictures.get(name)
        if name not in there:
            yield name, "missing"
        elif not (
            picture.is_drawn(there[name]) if picture else there[name] == reference.pages[name]
        ):
            yield name, "stale"
    for name in sorted(set(there) - set(reference.pages) - set(reference.pictures)):
        if _is_ours(there[name]):
            yield name, "extra"


def write(reference: Reference, folder: Path) -> Iterator[tuple[str, str]]:
    """Bring a folder up to date; each file that was changed, and what was wrong with it.

    Errors: Refused before anything is written when a file of somebody else is in the way;
    JobsdbError when a picture has to be drawn and graphviz is missing.
    """
    wrong = list(stale(reference, folder))
    for name, why in wrong:
        if why == "stale" and not _is_ours((folder / name).read_text(encoding="utf-8")):
            raise errors.Refused(
                f"{folder / name} was not written by jobsdb docs",
                hint="Choose another folder with -o, or move the file away.",
            )
    for name, why in wrong:
        path = folder / name
        if why == "extra":
            path.unlink()
        else:
            picture = reference.pictures.get(name)
            text = picture.svg() if picture else reference.pages[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        yield name, why


def _there(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.suffix in (".md", ".svg") and path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")


def _is_ours(text: str) -> bool:
    return text.startswith((pages.MARK, pictures.MARK))
