"""Draws what `verify` has found: as text for people, as TAP 14, or as one JSON document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jobsdb import __version__, render
from jobsdb.connect import server_version

if TYPE_CHECKING:
    from jobsdb.connect import Connection
    from jobsdb.verify import Finding, Result, Word

SHOWN = 5
"""Findings of one check in the text; the others are only counted."""

_TALLY: dict[Word, str] = {
    "ok": "ok",
    "FAIL": "failed",
    "warn": "warned",
    "note": "noted",
    "skip": "not tried",
}


def show(conn: Connection, results: Sequence[Result], fmt: str) -> None:
    """Print the results as `text`, `tap` or `json`; what rights were missing, on stderr.

    `brief` is text without the checks that are ok.
    """
    if fmt == "json":
        render.document(document(conn, results))
    else:
        for line, style in tap(results) if fmt == "tap" else text(results, brief=fmt == "brief"):
            render.out(line, style)
    if any(result.word == "skip" and result.check.layer != "behaviour" for result in results):
        user = conn.info.user
        render.say(
            "hint: the layers ledger and data read tables: verify as the owner of jobsdb, or"
            f" grant pg_read_all_data to {user}; alter role {user} bypassrls;"
            f" grant execute on function jobsdb.adoption_steps() to {user};"
        )


def text(results: Sequence[Result], *, brief: bool = False) -> Iterator[tuple[str, str | None]]:
    """Lines for people, each with its style; `brief` leaves out what is ok."""
    for result in results:
        check, word = result.check, result.word
        if brief and word == "ok":
            continue
        counted = f" ({result.passed} assertions)" if result.passed else ""
        style = word if word in ("FAIL", "warn") else None
        yield f"  {word:<4}  {check.number} {check.sentence}{counted}", style
        if result.unreadable:
            yield _line("why:", result.unreadable), None
        if result.findings:
            yield _line("so:", check.so), None
        for finding in result.findings[:SHOWN]:
            yield f"          {finding.object}", None
            for label in ("missing", "extra", "fix"):
                if said := getattr(finding, label):
                    yield _line(f"{label}:", said), None
        if len(result.findings) > SHOWN:
            yield f"          and {len(result.findings) - SHOWN} more: --format json", None
    tally = Counter(result.word for result in results)
    counts = (f"{tally[word]} {said}" for word, said in _TALLY.items() if tally[word])
    yield f"{len(results)} checks, {', '.join(counts)}.", None


def tap(results: Sequence[Result]) -> Iterator[tuple[str, str | None]]:
    """Lines of the Test Anything Protocol, version 14; findings are YAML blocks."""
    yield "TAP version 14", None
    yield f"1..{len(results)}", None
    for place, result in enumerate(results, 1):
        check = result.check
        verdict = "not ok" if result.word == "FAIL" else "ok"
        skipped = f" # SKIP {result.unreadable}" if result.unreadable else ""
        yield f"{verdict} {place} - {check.number} {check.sentence}{skipped}", None
        if result.findings:
            yield "  ---", None
            yield f"  so: {_quoted(check.so)}", None
            yield "  findings:", None
            for finding in result.findings:
                for place_in_item, (key, said) in enumerate(_finding(finding).items()):
                    yield f"    {' ' if place_in_item else '-'} {key}: {_quoted(said)}", None
            yield "  ...", None


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
                "file": f"sql/{result.check.path}",
                "result": result.word,
                "so": result.check.so,
                "why_skipped": result.unreadable,
                "assertions": result.passed or None,
                "findings": [_finding(finding) for finding in result.findings],
            }
            for result in results
        ],
    }


def _finding(finding: Finding) -> dict[str, str | None]:
    return {
        "object": finding.object,
        "level": finding.level,
        "missing": finding.missing,
        "extra": finding.extra,
        "fix": finding.fix,
    }


def _line(label: str, said: str) -> str:
    return f"          {label:<8} {said}"


def _quoted(said: str | None) -> str:
    """A scalar as YAML and JSON both read it."""
    return json.dumps(said, ensure_ascii=False)
