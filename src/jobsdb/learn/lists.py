"""The lists of the reference as markdown: errors, checks, states, grants, commands, the index."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from jobsdb import sqlfiles
from jobsdb.check import checks
from jobsdb.learn.catalog import ROLES, Catalog, Function
from jobsdb.learn.pages import cell, mermaid, page, source
from jobsdb.learn.pictures import Picture

_REFUSAL = re.compile(r"(?:^|; )(?=[0-9A-Z]{5} )")
_LAYERS = {
    "ledger": "What was applied",
    "structure": "What there is",
    "security": "Who may do what",
    "data": "What the rows say",
    "behaviour": "What happens when it is tried (`--behaviour`)",
}


def index() -> str:
    """README.md."""
    return page(
        [
            "# Reference",
            "",
            "Made from a migrated database and its comments; the examples were executed.",
            "",
            "- [Functions](functions.md): what is called, with arguments, errors, an example",
            "- [Tables and views](tables.md): columns, keys, triggers in firing order, rights",
            "- [States](states.md): every legal move of a job, a task and a card, and who makes it",
            "- [Errors](errors.md): every code of class JB, and who refuses with it",
            "- [Rights](grants.md): which role may do what",
            "- [Checks](checks.md): what `jobsdb verify` looks at, and what can go wrong",
            "- [Commands](cli.md): `jobsdb`",
            "- [Private objects](private.md): schema `jobsdb`",
        ]
    )


def errors(catalog: Catalog) -> str:
    """errors.md, from sql/docs/errors.txt and the comments of functions."""
    raised = dict(_raised(catalog))
    lines = [
        "# Errors",
        "",
        "Every refusal of jobsdb has an SQLSTATE of class JB, a one-sentence message, a detail with"
        " the facts and a hint that says what to do. Foreign and unknown ids give the same error on"
        " every path. PostgREST answers all of them with HTTP 400.",
        "",
        "| code | meaning |",
        "| --- | --- |",
        *(f"| [{code}](#{code.lower()}) | {cell(said)} |" for code, said in codes().items()),
    ]
    for code, said in codes().items():
        lines += ["", f"## {code}", "", said[0].upper() + said[1:] + "."]
        refusals = raised.get(code, [])
        public = [(f, why) for f, why in refusals if f.schema == "public"]
        private = [(f, why) for f, why in refusals if f.schema != "public"]
        lines += ["", *(f"- [{f.name}](functions/{f.name}.md): {why}" for f, why in public)]
        lines += [f"- {source(f.source, '../../', f.full_name)}: {why}" for f, why in private]
        files = [f"sql/{f.path}" for f in sqlfiles.load() if f"'{code}'" in f.text]
        lines += [
            f"- {source(file, '../../')}" for file in files if not file.startswith("sql/functions/")
        ]
        if not files:
            lines += ["Nothing refuses with it in this release; the code is kept free."]
    return page(lines)


def codes() -> dict[str, str]:
    """What each code of class JB means."""
    text = sqlfiles.normalise((sqlfiles.sql_root() / "docs" / "errors.txt").read_bytes())
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return {code: said for code, _, said in rows}


def _raised(catalog: Catalog) -> Iterator[tuple[str, list[tuple[Function, str]]]]:
    """Who refuses with a code, and why, as the comments say."""
    for code in codes():
        yield (
            code,
            [
                (function, refusal.removeprefix(code).strip(" ."))
                for function in catalog.functions
                for refusal in _REFUSAL.split(function.said.get("Errors", ""))
                if refusal.startswith(code)
            ],
        )


def all_checks() -> str:
    """checks.md, from the headers of sql/verify/."""
    lines = [
        "# Checks",
        "",
        "What `jobsdb verify` holds a database against. Each is one file; its findings fail unless"
        " the level says otherwise.",
    ]
    every = [*checks.load_checks(), *checks.load_proofs()]
    for layer, title in _LAYERS.items():
        lines += ["", f"## {layer}", "", f"{title}.", ""]
        lines += ["| number | sentence | what can go wrong | level |", "| --- | --- | --- | --- |"]
        lines += [
            f"| [{check.number}](../../{check.docs}) | {cell(check.sentence)} | {cell(check.so)}"
            f" | {check.level} |"
            for check in every
            if check.layer == layer
        ]
    return page(lines)


def states(catalog: Catalog, pictures: dict[str, Picture]) -> str:
    """states.md, from jobsdb.transitions."""
    lines = [
        "# States",
        "",
        "Every legal move; one to the same state changes nothing, any other is refused. Each is"
        " proved whoever makes it, also in plain SQL: see the triggers of the [tables](tables.md).",
    ]
    for entity in dict.fromkeys(move.entity for move in catalog.moves):
        moves = [move for move in catalog.moves if move.entity == entity]
        picture = pictures[f"states-{entity}"]
        lines += [
            "",
            f"## {entity}",
            "",
            f"`{moves[0].table}.{moves[0].column}`",
            "",
            f"![{picture.title}]({picture.file})",
            "",
            *mermaid(picture),
            "",
            "| from | to | meaning | by |",
            "| --- | --- | --- | --- |",
        ]
        for move in moves:
            by = [f"[{name}](functions/{name}.md)" for name in move.functions] + ["plain SQL"]
            lines.append(
                f"| {move.from_status or ''} | {move.to_status} | {cell(move.meaning)}"
                f" | {', '.join(by)} |"
            )
    return page(lines)


def grants(catalog: Catalog) -> str:
    """grants.md: role x object."""
    head = ["", f"| object | {' | '.join(ROLES)} |", "| --- |" + " --- |" * len(ROLES)]
    lines = [
        "# Rights",
        "",
        "What each role may do beside the owner; `(n)` is the number of columns where it is not all"
        " of them: [tables](tables.md) names them. Rows are ruled by policies on top of that."
        " Tenants cannot enter schema `jobsdb`: what they are granted there serves views and"
        " functions that run in their name.",
    ]
    for title, schema in (("Tables and views", "public"), ("Private tables and views", "jobsdb")):
        lines += ["", f"## {title}", *head]
        for relation in catalog.relations:
            if relation.schema == schema and relation.grants:
                may = (_rights(relation.rights(role)) for role in ROLES)
                page_ = "tables.md" if schema == "public" else "private.md"
                lines.append(f"| [{relation.name}]({page_}#{relation.name}) | {' | '.join(may)} |")
    for title, schema in (("Functions", "public"), ("Private functions", "jobsdb")):
        lines += ["", f"## {title}", *head]
        for function in catalog.functions:
            if function.schema == schema and function.roles:
                may = ("yes" if role in function.roles else "" for role in ROLES)
                link = f"[{function.name}](functions/{function.name}.md)"
                name = (
                    link if schema == "public" else source(function.source, "../../", function.name)
                )
                lines.append(f"| {name} | {' | '.join(may)} |")
    lines += ["", "Every other private table and function: nobody but the owner."]
    return page(lines)


def _rights(rights: dict[str, list[str]]) -> str:
    return ", ".join(f"{v} ({len(some)})" if some else v for v, some in rights.items())


def commands() -> str:
    """cli.md, from --help of every command."""
    from jobsdb.cli import cli

    lines = ["# Commands"]
    for name, command in _every(cli, "jobsdb"):
        context = click.Context(
            command, info_name=name, terminal_width=80, help_option_names=["-h", "--help"]
        )
        lines += ["", f"## {name}", "", "```text", command.get_help(context), "```"]
    return page(lines)


def _every(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command, and those below it."""
    yield name, command
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from _every(inner, f"{name} {word}")
