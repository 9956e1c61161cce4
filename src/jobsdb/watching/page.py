"""`jobsdb report`: one HTML page about a campaign, which loads nothing and runs nothing.

Each file of sql/report/ is a section: its first line is the heading, the next say what is to be
seen, its rows are drawn as a table under the names of its columns. The funnel and the days are
drawn, too. The page is built as a tree and written out by xml.etree, which escapes every text and
attribute: no name can become markup, and no template engine is needed for a page of tables.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from jobsdb import __version__, connect, errors, render, sqlfiles
from jobsdb.errors import Exit
from jobsdb.watching import reading

if TYPE_CHECKING:
    from jobsdb.connect import Connection
    from jobsdb.watching.reading import Row

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load for the page: nothing."""
DASH = "\N{EN DASH}"
CHART_WIDTH, CHART_HEIGHT = 720, 160
SERIES = ("cards", "e_mails", "job")
"""Columns of the days, stacked in this order."""


@dataclass(frozen=True)
class Section:
    """A file of sql/report/ and its answer."""

    name: str
    title: str
    note: str
    rows: Sequence[Row]


def run(database: str | None, job: str, output: Path) -> Exit:
    """Write the page of a job (its id or name) to a file, or to stdout when that is `-`.

    Errors: JobsdbError.
    """
    import psycopg

    with connect.open_database(database) as conn:
        try:
            text = build(conn, job)
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
    if str(output) == "-":
        sys.stdout.buffer.write(text.encode())
        return Exit.DONE
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise errors.UsageError(f"{output} cannot be written: {exc.strerror}") from exc
    render.out(f"written    {output}")
    return Exit.DONE


def build(conn: Connection, job: str) -> str:
    """The page of a job, its id or name, as of one moment. Errors: JobsdbError, psycopg.Error."""
    with reading.snapshot(conn):
        reading.check(conn)
        id_ = reading.find(conn, job)["id"]
        paths = sorted((sqlfiles.sql_root() / "report").glob("*.sql"))
        head, *sections = (_ask(conn, f"report/{path.name}", id_) for path in paths)
    return draw(head.rows[0], sections)


def _ask(conn: Connection, path: str, job: str) -> Section:
    lines = sqlfiles.read_text(path).splitlines()
    comments = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    title, *note, _ = comments  # the last one says what $1 is
    return Section(PurePosixPath(path).stem, title, " ".join(note), reading.ask(conn, path, job))


def draw(head: Row, sections: Sequence[Section]) -> str:
    """The page as text."""
    html = Element("html", lang="en")
    top = SubElement(html, "head")
    SubElement(top, "meta", charset="utf-8")
    SubElement(top, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    SubElement(top, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(top, "title", head["name"])
    _add(top, "style", Path(__file__).with_suffix(".css").read_text(encoding="utf-8"))
    body = SubElement(html, "body")
    _draw_head(body, head)
    for section in sections:
        _draw_section(body, section)
    _add(body, "footer", f"jobsdb {__version__}. All numbers are of {_said(head['moment'])}.")
    ElementTree.indent(html)
    return f"<!doctype html>\n{ElementTree.tostring(html, 'unicode', method='html')}\n"


def _draw_head(body: Element, head: Row) -> None:
    header = SubElement(body, "header")
    title = _add(header, "h1", f"{head['name']} ")
    _add(title, "small", head["status"], {"class": f"status {head['status']}"})
    if head["description"]:
        _add(header, "p", head["description"])
    facts = {name: head[name] for name in ("job", "created_at", "started_at", "finished_at")}
    _draw_pairs(header, [facts])


def _draw_section(body: Element, section: Section) -> None:
    part = SubElement(body, "section", id=section.name)
    _add(part, "h2", section.title)
    if section.note:
        _add(part, "p", section.note, {"class": "note"})
    if section.rows:
        _DRAWN.get(section.name, _draw_table)(part, section.rows)
    else:
        _add(part, "p", "None.", {"class": "none"})


def _draw_pairs(part: Element, rows: Sequence[Row]) -> None:
    """The columns of the only row, each under its name."""
    listed = SubElement(part, "dl")
    for name, value in rows[0].items():
        pair = SubElement(listed, "div")
        _add(pair, "dt", _head(name))
        _add(pair, "dd", _said(value, name))


def _draw_table(part: Element, rows: Sequence[Row]) -> None:
    """A table under the names of the columns."""
    table = SubElement(SubElement(part, "div", {"class": "wide"}), "table")
    heads = SubElement(SubElement(table, "thead"), "tr")
    for name in rows[0]:
        _add(heads, "th", _head(name), _kind(rows, name))
    body = SubElement(table, "tbody")
    for row in rows:
        line = SubElement(body, "tr")
        for name, value in row.items():
            _add(line, "td", _said(value, name), _kind(rows, name))


def _draw_folded(part: Element, rows: Sequence[Row]) -> None:
    details = SubElement(part, "details")
    _add(details, "summary", f"{len(rows):,} lines")
    _draw_table(details, rows)


def _draw_funnel(part: Element, rows: Sequence[Row]) -> None:
    """Each step with a bar of its length."""
    most = max(row["number"] for row in rows) or 1
    table = SubElement(part, "table", {"class": "funnel"})
    for row in rows:
        line = SubElement(table, "tr")
        _add(line, "td", row["step"])
        bar = SubElement(SubElement(line, "td", {"class": "bar"}), "div")
        bar.set("style", f"width: {100 * row['number'] / most:.1f}%")
        _add(line, "td", _said(row["number"]), {"class": "number"})
        share = "" if row["share"] is None else _said(row["share"], "share")
        _add(line, "td", share, {"class": "number"})


def _draw_days(part: Element, rows: Sequence[Row]) -> None:
    """The days as stacked bars with a legend, and as numbers."""
    first: date = rows[0]["day"]
    days = (rows[-1]["day"] - first).days + 1
    most = max(sum(row[name] for name in SERIES) for row in rows)
    step = CHART_WIDTH / max(days, 14)
    svg = SubElement(
        part,
        "svg",
        {"viewBox": f"0 0 {CHART_WIDTH} {CHART_HEIGHT}", "role": "img", "class": "days"},
    )
    _add(svg, "title", f"Events on {days} days, {most:,} on the busiest")
    for row in rows:
        top = float(CHART_HEIGHT)
        for name in SERIES:
            height = CHART_HEIGHT * row[name] / most
            top -= height
            place = {
                "x": f"{(row['day'] - first).days * step:.2f}",
                "y": f"{top:.2f}",
                "width": f"{max(step * 0.8, 1):.2f}",
                "height": f"{height:.2f}",
            }
            bar = SubElement(svg, "rect", {"class": name} | place)
            _add(bar, "title", f"{row['day']}: {row[name]:,} {_head(name)}")
    legend = SubElement(part, "p", {"class": "legend"})
    for name in SERIES:
        _add(legend, "span", _head(name), {"class": name})
    _add(legend, "span", f"{first} to {rows[-1]['day']}, at most {most:,} a day")
    _draw_folded(part, rows)


_DRAWN = {
    "10_funnel": _draw_funnel,
    "20_days": _draw_days,
    "30_review": _draw_pairs,
    "41_sends": _draw_pairs,
    "90_figures": _draw_folded,
}
"""Sections that are not drawn as a table."""


def _add(parent: Element, tag: str, text: str, attributes: dict[str, str] | None = None) -> Element:
    """A new element with a text, without the control characters that HTML does not know."""
    element = SubElement(parent, tag, attributes or {})
    element.text = render.clean(text)
    return element


def _head(name: str) -> str:
    """The name of a column as people read it."""
    return name.removesuffix("_at").replace("e_mails", "e-mails").replace("_", " ")


def _kind(rows: Sequence[Row], name: str) -> dict[str, str]:
    """Numbers stand flush right."""
    is_number = any(isinstance(row[name], (int, Decimal)) for row in rows)
    return {"class": "number"} if is_number else {}


def _said(value: Any, name: str = "") -> str:
    """A value as people read it; shares as per cent."""
    if value is None:
        return DASH
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if name.startswith("share"):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, (int, Decimal)) else str(value)
