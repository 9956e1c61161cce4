"""The reference as markdown, page by page: functions and relations. The lists are in lists.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath

from jobsdb.learn.catalog import Catalog, Function, Relation, first_sentence, plain
from jobsdb.learn.examples import Example
from jobsdb.learn.pictures import Picture

MARK = "<!-- Made by `jobsdb docs`: do not edit. -->"

CONCERNS = {
    "job": "Jobs",
    "card": "Cards",
    "work": "Work on tasks",
    "campaign": "Campaigns",
    "send": "E-mails",
    "metrics": "Metrics",
    "privacy": "Privacy",
    "task": "Tasks",
    "access": "Access",
    "views": "Metrics",
}
"""Folders of functions, in the order of a reader."""

OTHERS = "Others"

ACTORS = {
    "owner": "the owner",
    "tenant": "a tenant (`authenticated`)",
    "service": "an agent (`service_role`)",
}
_CODE = re.compile(r"\b(JB\d{3})\b")


def function_index(catalog: Catalog) -> str:
    """functions.md: all public functions by concern."""
    lines = [
        "# Functions",
        "",
        "What applications, agents and front ends call, in SQL or as `rpc/<name>`. None is"
        " overloaded; arguments are called by name. The other functions: [private](private.md).",
    ]
    for concern, some in by_concern(each for each in catalog.functions if each.schema == "public"):
        lines += ["", f"## {concern}", "", "| function | what it does | who may call |"]
        lines += ["| --- | --- | --- |"]
        lines += [
            f"| [{each.name}](functions/{each.name}.md) | {cell(first_sentence(each.comment))}"
            f" | {', '.join(each.roles)} |"
            for each in some
        ]
    return page(lines)


def by_concern(functions: Iterable[Function]) -> Iterator[tuple[str, list[Function]]]:
    """Functions under the title of their folder."""
    titles = [*dict.fromkeys(CONCERNS.values()), OTHERS]

    def place(function: Function) -> int:
        return titles.index(CONCERNS.get(PurePosixPath(function.source).parent.name, OTHERS))

    ordered = sorted(functions, key=lambda each: (place(each), each.name))
    for number, some in groupby(ordered, place):
        yield titles[number], list(some)


def function_page(function: Function, example: Example) -> str:
    """functions/<name>.md."""
    facts = {
        "Units": function.said.get("Units"),
        "Returns": function.said.get("Returns"),
        "Errors": errors(function.said.get("Errors", ""), "../errors.md"),
        "May call": ", ".join(f"`{role}`" for role in function.roles),
        "Runs as": {"definer": "its owner", "invoker": "its caller"}[function.security]
        + f" (security {function.security}); {function.volatility}",
        "Source": source(function.source, "../../../"),
    }
    return page(
        [
            f"# {function.name}",
            "",
            function.sentences,
            "",
            "```sql",
            declaration(function),
            "```",
            "",
            "| | |",
            "| --- | --- |",
            *(f"| **{label}** | {cell(fact)} |" for label, fact in facts.items() if fact),
            "",
            "## Example",
            "",
            *example_lines(example),
            "",
            "[All functions](../functions.md)",
        ]
    )


def declaration(function: Function) -> str:
    """The head of a function, an argument a line."""
    taken = [
        "  " + " ".join(filter(None, (a.name, a.type, a.default and f"default {plain(a.default)}")))
        for a in function.arguments
        if a.mode in "ibv"
    ]
    columns = [f"  {a.name} {a.type}" for a in function.arguments if a.mode in "ot"]
    head = f"{function.full_name}(" + ("\n" + ",\n".join(taken) + "\n)" if taken else ")")
    if not columns:
        return f"{head}\nreturns {function.result}"
    return f"{head}\nreturns table (\n" + ",\n".join(columns) + "\n)"


def example_lines(example: Example) -> list[str]:
    """What was sent, as whom, and what came back."""
    lines = [f"As {ACTORS[example.who]}:"]
    for statement, answer in example.exchanges:
        lines += ["", "```sql", statement, "```", "", "```text", answer, "```"]
    return lines


def relations_page(
    catalog: Catalog, pictures: dict[str, Picture], examples: dict[str, Example]
) -> str:
    """tables.md: tables and views in schema public."""
    some = [each for each in catalog.relations if each.schema == "public"]
    some.sort(key=lambda each: (each.kind != "table", each.name))
    lines = [
        "# Tables and views",
        "",
        "Schema `public`: what applications read and write. The private ones:"
        " [private](private.md).",
        "",
        *(f"- [{each.name}](#{each.name}): {first_sentence(each.comment)}" for each in some),
        "",
        f"![Tables and what joins them]({pictures['entities'].file})",
        "",
        "A full line is a foreign key; a dashed one joins without a key, because history outlives"
        " the job or a check would make somebody wait.",
        "",
        *mermaid(pictures["entities"]),
    ]
    for each in some:
        lines += ["", f"## {each.name}", "", *relation_lines(catalog, each, pictures)]
        if each.name in examples:
            lines += ["", "### Example: " + each.name, "", *example_lines(examples[each.name])]
    return page(lines)


def private_page(catalog: Catalog, pictures: dict[str, Picture]) -> str:
    """private.md: schema jobsdb."""
    relations = [each for each in catalog.relations if each.schema == "jobsdb"]
    lines = [
        "# Private objects",
        "",
        "Schema `jobsdb`: nobody else's code should name them; they change with any release.",
        "",
        "## Tables and views",
        "",
        *(f"- [{each.name}](#{each.name}): {first_sentence(each.comment)}" for each in relations),
        "",
        "## Functions",
    ]
    for concern, some in by_concern(each for each in catalog.functions if each.schema == "jobsdb"):
        lines += ["", f"**{concern}**", ""]
        lines += [
            f"- `{each.name}{each.signature}`: {first_sentence(each.comment)}"
            f" {source(each.source, '../../', 'source')}"
            for each in some
        ]
    for each in relations:
        lines += ["", f"## {each.name}", "", *relation_lines(catalog, each, pictures)]
    return page(lines)


def relation_lines(
    catalog: Catalog, relation: Relation, pictures: dict[str, Picture]
) -> Iterator[str]:
    """All about a table or view, below its heading."""
    yield relation.comment or ""
    yield ""
    made_in = catalog.sources.get(relation.full_name, "")
    yield f"A {relation.kind}; {source(made_in, '../../')}."
    yield ""
    is_told = any(column.comment for column in relation.columns)
    yield "| column | type | what it is |" if is_told else "| column | type |"
    yield "| --- | --- | --- |" if is_told else "| --- | --- |"
    for column in relation.columns:
        kind = column.type + ("" if column.nullable or not is_told else " not null")
        if column.default:
            kind += f" default {plain(column.default)}"
        told = f" {cell(column.comment or '')} |" if is_told else ""
        yield f"| {column.name} | {cell(kind)} |{told}"
    for title, things in (("Constraints", relation.constraints), ("Indexes", relation.indexes)):
        if things:
            yield from ("", f"**{title}**", "")
            for thing in things:
                said = f": {thing.comment}" if thing.comment else ""
                yield f"- {thing.name}{said} `{thing.definition}`"
    if relation.triggers:
        yield from ("", "**Triggers, in firing order**", "")
        yield from trigger_lines(catalog, relation)
        picture = pictures[f"triggers-{relation.name}"]
        yield from ("", f"![{picture.title}]({picture.file})", "", *mermaid(picture))
    yield from ("", "**Who may do what**", "")
    yield from right_lines(relation)


def trigger_lines(catalog: Catalog, relation: Relation) -> Iterator[str]:
    """The triggers of a table, in a table."""
    yield "| when | trigger | what it does | runs |"
    yield "| --- | --- | --- | --- |"
    for trigger in relation.triggers:
        columns = f" of {', '.join(trigger.columns)}" if trigger.columns else ""
        when = f"{trigger.moment}, {' or '.join(trigger.events)}{columns}"
        said = trigger.comment or ""
        if trigger.condition:
            said += f" Only when `{trigger.condition}`."
        made_in = catalog.sources.get(f"{relation.full_name}.{trigger.name}", "")
        function = catalog.function(trigger.function)
        yield (
            f"| {when} | {source(made_in, '../../', trigger.name)} | {cell(said)}"
            f" | {source(function.source, '../../', function.name)} |"
        )


def right_lines(relation: Relation) -> Iterator[str]:
    """Grants and policies."""
    for role in sorted({grant.role for grant in relation.grants}):
        rights = relation.rights(role)
        told = "; ".join(
            f"{verb} ({', '.join(columns)})" if columns else verb
            for verb, columns in rights.items()
        )
        yield f"- `{role}`: {told}"
    if not relation.grants:
        yield "- nobody but the owner, and functions in its name"
    for policy in relation.policies:
        rows = policy.sees or policy.writes or ""
        yield (
            f"- policy {policy.name} ({policy.verb}, {', '.join(policy.roles)}): {policy.comment}"
            f" `{rows}`"
        )


def mermaid(picture: Picture) -> list[str]:
    """The picture as text that GitHub draws, folded away."""
    head = "<details><summary>as Mermaid</summary>"
    return [head, "", "```mermaid", picture.mermaid, "```", "", "</details>"]


def errors(text: str, target: str) -> str:
    """A comment's line of errors, with links."""
    return _CODE.sub(lambda found: f"[{found[1]}]({target}#{found[1].lower()})", text)


def source(file: str, root: str, words: str | None = None) -> str:
    """A link to a file of the repository; where there is none, the words alone."""
    return f"[{words or file}]({root}{file})" if file else words or ""


def cell(text: str) -> str:
    """Text within a table of markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def page(lines: Iterable[str]) -> str:
    """A page of these lines, which says where it comes from."""
    return "\n".join([MARK, *lines]) + "\n"
