"""What `verify` has found, in the formats of other programs: TAP, JUnit XML, GitHub.

Sources: TAP 13, testanything.org; it is valid TAP 14, too, which an older `prove` refuses to read.
JUnit, the schema that Jenkins, GitLab and GitHub's reporters read: testsuites, testsuite, testcase
with failure, skipped or system-out.
GitHub, "Workflow commands": `::error title=…::message`, in which %, CR and LF are escaped, and in
a property also colon and comma.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from xml.etree import ElementTree

from jobsdb.check.checks import Finding, Level, Result
from jobsdb.render import clean

_COMMANDS: dict[Level, str] = {"failure": "error", "warning": "warning", "note": "notice"}


def tap(results: Sequence[Result]) -> Iterator[str]:
    """Lines of the Test Anything Protocol, version 13; findings are YAML blocks."""
    yield "TAP version 13"
    yield f"1..{len(results)}"
    for place, result in enumerate(results, 1):
        check = result.check
        verdict = "not ok" if result.word == "FAIL" else "ok"
        skipped = result.unreadable if result.word == "skip" else None
        yield f"{verdict} {place} - {name(result)}{f' # SKIP {skipped}' if skipped else ''}"
        if result.findings:
            yield "  ---"
            yield f"  so: {_quoted(check.so)}"
            yield f"  docs: {_quoted(check.docs)}"
            yield "  findings:"
            for finding in result.findings:
                for key in ("object", "level", "missing", "extra", "fix"):
                    begins = "-" if key == "object" else " "
                    yield f"    {begins} {key}: {_quoted(getattr(finding, key))}"
            yield "  ..."
        for finding in result.ignored:
            yield f"# ignored: {finding.object}: {finding.reason}"


def junit(results: Sequence[Result]) -> str:
    """One JUnit document: a suite per layer, a case per check. ASCII, so every terminal has it."""
    root = ElementTree.Element("testsuites", {"name": "jobsdb verify", **_counts(results)})
    for layer, group in groupby(results, key=lambda result: result.check.layer):
        some = list(group)
        suite = ElementTree.SubElement(root, "testsuite", {"name": layer, **_counts(some)})
        for result in some:
            _case(suite, result)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=True)
    return data.decode()


def github(results: Sequence[Result]) -> Iterator[str]:
    """One annotation per check that is not ok: GitHub shows ten of each kind."""
    for result in results:
        title = _escaped(name(result)).replace(":", "%3A").replace(",", "%2C")
        for level, command in _COMMANDS.items():
            if found := [finding for finding in result.findings if finding.level == level]:
                yield f"::{command} title={title}::{_escaped(_told(result, found))}"
        if result.word == "skip":
            yield f"::warning title={title}::{_escaped(f'not tried: {result.unreadable}')}"


def name(result: Result) -> str:
    """Number and sentence of a check."""
    return f"{result.check.number} {result.check.sentence}"


def _case(suite: ElementTree.Element, result: Result) -> None:
    """Add the case of a check; a warning or note is a case that passed and has something to say."""
    about = {
        "name": name(result),
        "classname": f"jobsdb.{result.check.layer}",
        "file": result.check.docs,
        "time": "0",
    }
    case = ElementTree.SubElement(suite, "testcase", about)
    told = clean(_told(result, result.findings))
    if result.word == "FAIL":
        message = clean(f"{result.findings[0].object}: so {result.check.so}")
        kind = {"message": message, "type": "failure"}
        ElementTree.SubElement(case, "failure", kind).text = told
    elif result.word == "skip":
        ElementTree.SubElement(case, "skipped", {"message": clean(result.unreadable or "")})
    elif result.findings:
        ElementTree.SubElement(case, "system-out").text = told


def _counts(results: Sequence[Result]) -> dict[str, str]:
    words = [result.word for result in results]
    return {
        "tests": str(len(words)),
        "failures": str(words.count("FAIL")),
        "errors": "0",
        "skipped": str(words.count("skip")),
        "time": "0",
    }


def _told(result: Result, findings: Sequence[Finding]) -> str:
    """Findings as lines, with what can go wrong and where it is explained."""
    lines = [f"so: {result.check.so}"] if result.check.so else []
    for finding in findings:
        lines.append(finding.object)
        for label in ("missing", "extra", "fix"):
            if said := getattr(finding, label):
                lines.append(f"  {label}: {said}")
    return "\n".join([*lines, f"see: {result.check.docs}"])


def _escaped(text: str) -> str:
    """The message of a workflow command."""
    safe = clean(text.replace("\r", "\n"))
    return safe.replace("%", "%25").replace("\n", "%0A")


def _quoted(said: str | None) -> str:
    """A scalar as YAML and JSON both read it."""
    return json.dumps(said, ensure_ascii=False)
