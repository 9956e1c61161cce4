"""Draws what `verify` has found: as text for people, or as one JSON document.

The formats of other programs stand in formats.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jobsdb import __version__, render
from jobsdb.check import formats
from jobsdb.connect import server_version

if TYPE_CHECKING:
    from jobsdb.check.checks import Finding, Result, Word
    from jobsdb.connect import Connection

SHOWN = 5
"""Findings of one check in the text; the others are only counted."""

FORMATS = ("text", "tap", "json", "junit", "github")

_TALLY: dict[Word, str] = {
    "ok": "ok",
    "FAIL": "failed",
    "warn": "warned",
    "note": "noted",
    "skip": "not tried",
}


def show(conn: Connection, results: Sequence[Result], fmt: str) -> None:
    """Print the results in one of FORMATS; what rights were missing, on stderr.

    `brief` is text without the checks that are ok.
    """
    if fmt == "json":
        render.document(document(conn, results))
    elif fmt == "junit":
        render.out(formats.junit(results))
    else:
        for line, style in _lines(results, fmt):
            render.out(line, style)
    if any(result.word == "skip" and result.check.layer != "behaviour" for result in results):
        user = conn.info.user
        render.say(
            "hint: the layers ledger and data read tables: verify as the owner of jobsdb, or"
            f" grant pg_read_all_data to {user}; alter role {user} bypassrls;"
            f" grant execute on function jobsdb.adoption_steps() to {user};"
        )


def _lines(results: Sequence[Result], fmt: str) -> Iterator[tuple[str, str | None]]:
    """The lines of a format that has lines, each with its style."""
    if fmt == "tap":
        yield from ((line, None) for line in formats.tap(results))
    elif fmt == "github":
        yield from ((line, None) for line in formats.github(results))
        yield tally(results), None
    else:
        yield from text(results, brief=fmt == "brief")


def text(results: Sequence[Result], *, brief: bool = False) -> Iterator[tuple[str, str | None]]:
    """Lines for people, each with its style; `brief` leaves out what is ok."""
    for result in results:
        check, word = result.check, result.word
        if brief and word == "ok":
            continue
        counted = f" ({result.passed} assertions)" if result.passed else ""
        ignored = f" ({len(result.ignored)} ignored)" if result.ignored else ""
        style = word if word in ("FAIL", "warn") else None
        yield f"  {word:<4}  {check.number} {check.sentence}{counted}{ignored}", style
        if result.unreadable:
            yield _line("why:", result.unreadable), None
        if result.findings:
            yield _line("so:", check.so), None
            yield _line("see:", check.docs), None
        for finding in result.findings[:SHOWN]:
            yield f"          {finding.object}", None
            for label in ("missing", "extra", "fix"):
                if said := getattr(finding, label):
                    yield _line(f"{label}:", said), None
        if len(result.findings) > SHOWN:
            yield f"          and {len(result.findings) - SHOWN} more: --format json", None
    yield tally(results), None


def tally(results: Sequence[Result]) -> str:
    """How many checks, and how they ended, as one line."""
    words = Counter(result.word for result in results)
    counts = (f"{words[word]} {said}" for word, said in _TALLY.items() if words[word])
    return f"{len(results)} checks, {', '.join(counts)}."


def document(conn: Connection, results: Sequence[Result]) -> dict[str, Any]:
    """The results as one document; `version` counts its incompatible changes."""
    info = conn.info
    words = Counter(result.word for result in results)
    return {
        "version": 1,
        "clean": not words["FAIL"] and not words["skip"],
        "counts": {word: words[word] for word in _TALLY},
        "package": __version__,
        "database": {
            "user": info.user,
            "host": info.host,
            "port": info.port,
            "name": info.dbname,
            "server": server_version(conn),
        },
        "checks": [
            {
                "number": result.check.number,
                "layer": result.check.layer,
                "sentence": result.check.sentence,
                "file": result.check.docs,
                "result": result.word,
                "so": result.check.so,
                "why_skipped": result.unreadable,
                "assertions": result.passed or None,
                "findings": [_finding(result, finding) for finding in result.findings],
                "ignored": [
                    {**_finding(result, finding), "reason": finding.reason}
                    for finding in result.ignored
                ],
            }
            for result in results
        ],
    }


def _finding(result: Result, finding: Finding) -> dict[str, str | None]:
    """A finding that can be read without its check."""
    return {
        "number": result.check.number,
        "sentence": result.check.sentence,
        "object": finding.object,
        "level": finding.level,
        "missing": finding.missing,
        "extra": finding.extra,
        "so": result.check.so,
        "fix": finding.fix,
        "docs": result.check.docs,
    }


def _line(label: str, said: str) -> str:
    return f"          {label:<8} {said}"
