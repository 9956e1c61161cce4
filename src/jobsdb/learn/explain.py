"""`jobsdb explain`: what happens when … in firing order, as the database itself has it.

A word may mean several things, and all of them are told: `done` is a status of tasks and a state of
cards, `cancel_job` a public function and its private body.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from textwrap import wrap
from typing import Any, Literal

from jobsdb import errors
from jobsdb.learn.catalog import ROLES, Catalog, Function, Move, Relation, Trigger, first_sentence

WIDTH = 80
EVENTS = {
    "insert": "a row is inserted",
    "update": "a row is updated",
    "delete": "a row is deleted",
    "truncate": "the table is truncated",
}
VERBS = ("select", "insert", "update", "delete")
BOLD = "bold"
NOT_OURS = "not jobsdb's"

Line = tuple[str, str | None]
Kind = Literal["table", "column", "function", "status"]


@dataclass(frozen=True)
class Meaning:
    """One thing a word stands for; `thing` is a relation, a function, or the moves of a status."""

    kind: Kind
    word: str
    thing: Relation | Function | list[Move]


def find(catalog: Catalog, word: str) -> list[Meaning]:
    """Everything a word may mean. Errors: JobsdbError with NO when it means nothing here."""
    name = word.lower().removesuffix("()")
    found = [
        *(Meaning("table", name, r) for r in catalog.relations if name in (r.name, r.full_name)),
        *_columns(catalog, name),
        *(Meaning("function", name, f) for f in catalog.functions if name in (f.name, f.full_name)),
        *_statuses(catalog, name),
    ]
    if not found:
        bare = name.removeprefix("public.").removeprefix("jobsdb.")
        near = difflib.get_close_matches(bare, sorted(words(catalog)), n=4, cutoff=0.6)
        raise errors.JobsdbError(
            f'nothing of jobsdb is called "{word}"',
            code=errors.Exit.NO,
            hint=f"Did you mean {', '.join(near)}?"
            if near
            else "Name a table, a function or a status, such as kanban_cards or approved.",
        )
    return found


def words(catalog: Catalog) -> set[str]:
    """Every word that means something."""
    return {
        *(relation.name for relation in catalog.relations),
        *(function.name for function in catalog.functions),
        *(f"{r.name}.{column.name}" for r in catalog.relations for column in r.columns),
        *(move.to_status for move in catalog.moves),
    }


def _columns(catalog: Catalog, name: str) -> Iterator[Meaning]:
    for relation in catalog.relations:
        for column in relation.columns:
            if name in (f"{relation.name}.{column.name}", f"{relation.full_name}.{column.name}"):
                yield Meaning("column", column.name, relation)


def _statuses(catalog: Catalog, name: str) -> Iterator[Meaning]:
    for _, moves in groupby(catalog.moves, lambda move: move.entity):
        if some := [move for move in moves if name in (move.from_status, move.to_status)]:
            yield Meaning("status", name, some)


def document(word: str, meanings: list[Meaning]) -> dict[str, Any]:
    """The meanings as one document; `version` counts its incompatible changes."""
    return {
        "version": 1,
        "word": word,
        "meanings": [
            {"kind": each.kind, "word": each.word, "moves": [asdict(move) for move in each.thing]}
            if isinstance(each.thing, list)
            else {"kind": each.kind, "word": each.word, "is": asdict(each.thing)}
            for each in meanings
        ],
    }


def text(catalog: Catalog, meanings: list[Meaning]) -> Iterator[Line]:
    """The meanings as lines of at most WIDTH, each with its style."""
    for number, each in enumerate(meanings):
        if number:
            yield "", None
        if isinstance(each.thing, list):
            yield from _status(catalog, each.word, each.thing)
        elif isinstance(each.thing, Function):
            yield from _function(catalog, each.thing)
        elif each.kind == "column":
            yield from _column(catalog, each.thing, each.word)
        else:
            yield from _relation(catalog, each.thing)


def _relation(catalog: Catalog, relation: Relation) -> Iterator[Line]:
    yield from _title(f"{relation.full_name}, a {relation.kind}")
    yield from para(relation.comment)
    for event in EVENTS:
        yield from _event(catalog, relation, event)
    yield from _rights(relation)
    yield from _head("Source")
    yield from para(catalog.sources.get(relation.full_name))


def _column(catalog: Catalog, relation: Relation, name: str) -> Iterator[Line]:
    column = next(column for column in relation.columns if column.name == name)
    yield from _title(f"{relation.full_name}.{name}, a column of type {column.type}")
    yield from para(column.comment)
    moves = [m for m in catalog.moves if (m.table, m.column) == (relation.full_name, name)]
    if moves:
        yield from _head("Its moves")
        yield from _moves(catalog, moves)
    yield from _event(catalog, relation, "update", name)
    yield from _head("Who may write it")
    for role in ROLES:
        verbs = [v for v, some in relation.rights(role).items() if v != "select" and name in some]
        yield from item(role, ", ".join(verbs) or "only by functions")


def _status(catalog: Catalog, word: str, moves: list[Move]) -> Iterator[Line]:
    some = moves[0]
    yield from _title(f"{word}, a {some.column} of {some.table}")
    yield from _head(f"How a {some.entity} comes to it")
    yield from _moves(catalog, [move for move in moves if move.to_status == word])
    yield from _head("How it goes on")
    onward = [move for move in moves if move.from_status == word]
    yield from _moves(catalog, onward)
    if not onward:
        yield from para("Nothing: it is final.")
    relation = catalog.relation(some.table)
    if any(move.from_status is None for move in moves):
        yield from _event(catalog, relation, "insert")
    yield from _event(catalog, relation, "update", some.column)
    yield from _rights(relation)


def _moves(catalog: Catalog, moves: list[Move]) -> Iterator[Line]:
    for move in moves:
        yield from para(f"{move.from_status or 'new'} -> {move.to_status}: {move.meaning}", 2)
        by: dict[str, list[str]] = {}
        for way, roles in catalog.ways(move):
            by.setdefault(", ".join(roles), []).append(way)
        for who, some in by.items():
            yield from item(who, ", ".join(some), 6)


def _event(
    catalog: Catalog, relation: Relation, event: str, column: str | None = None
) -> Iterator[Line]:
    """The triggers of an event in firing order; of an update that sets `column`, if given."""
    fired = [
        trigger
        for trigger in relation.triggers
        if event in trigger.events and (not column or column in (trigger.columns or (column,)))
    ]
    followers = list(_followers(catalog, relation)) if event == "delete" else []
    if not fired and not followers:
        return
    what = f"{relation.full_name}.{column} is updated" if column else EVENTS[event]
    yield from _head(f"When {what}, in firing order")
    if followers:  # the triggers of a foreign key sort before ours
        yield "  after each row, by foreign keys", None
        yield from followers
    for moment, some in groupby(fired, lambda trigger: trigger.moment):
        yield f"  {moment}", None
        for trigger in some:
            yield from _trigger(catalog, relation, trigger)


def _trigger(catalog: Catalog, relation: Relation, trigger: Trigger) -> Iterator[Line]:
    function = catalog.function(trigger.function)
    yield f"    {trigger.name}{'' if trigger.enabled else ' (DISABLED)'}", None
    yield from para(trigger.comment, 6)
    if trigger.columns:
        yield from item("only if set", ", ".join(trigger.columns), 6)
    if trigger.condition:
        yield from item("only when", trigger.condition, 6)
    yield from item("runs", trigger.function, 6)
    said = first_sentence(function.comment).removeprefix("Trigger: ")
    if said.lower() != (trigger.comment or "").lower():
        yield from para(said, 8)
    refuses = function.said.get("Errors", "none.")
    if refuses != "none.":
        yield from item("refuses", refuses, 6)
    file = catalog.sources.get(f"{relation.full_name}.{trigger.name}")
    yield from item("source", ", ".join(filter(None, (file, function.source))) or NOT_OURS, 6)


def _followers(catalog: Catalog, relation: Relation) -> Iterator[Line]:
    """What foreign keys do to other tables when a row goes."""
    for other in catalog.relations:
        for key in other.constraints:
            if key.refers_to == relation.full_name:
                _, _, rule = key.definition.partition(" ON DELETE ")
                rule = rule.lower().partition(" deferrable")[0]
                yield from item(other.full_name, rule or "refuses while it has rows", 4)


def _rights(relation: Relation) -> Iterator[Line]:
    yield from _head("Who may do what, in plain SQL")
    for role in ROLES:
        rights = relation.rights(role)
        told = [
            f"{verb} ({', '.join(columns)})" if columns else verb
            for verb, columns in rights.items()
        ]
        yield from item(role, "; ".join(told) or "nothing")
        for policy in relation.policies:
            if rights and role in policy.roles and (policy.verb == "all" or policy.verb in rights):
                yield from para(f"{policy.verb}: {policy.comment}", 6)


def _function(catalog: Catalog, function: Function) -> Iterator[Line]:
    yield from _title(f"{function.full_name}{function.signature}")
    yield from para(function.sentences)
    for label in ("Units", "Returns", "Errors"):
        if told := function.said.get(label):
            yield from item(label.lower(), told)
    yield from _head("Who may call it")
    yield from para(", ".join(function.roles) or _nobody(catalog, function))
    if function.calls or function.changes:
        yield from _head("What it does itself, in the order of its text")
    for change in function.changes:
        fires = any(r.triggers for r in catalog.relations if r.full_name == change["table"])
        hint = f"jobsdb explain {change['table'].partition('.')[2]}" if fires else "no trigger"
        yield from item(f"{change['verb']} {change['table']}", hint)
    for name in function.calls:
        yield from item(f"calls {name}", first_sentence(catalog.function(name).comment))
    callers = [each.full_name for each in catalog.functions if function.full_name in each.calls]
    if callers:
        yield from _head("Called by")
        yield from para(", ".join(callers))
    yield from _head("Source")
    yield from para(function.source)


def _nobody(catalog: Catalog, function: Function) -> str:
    fired = [
        f"{relation.full_name}.{trigger.name}"
        for relation in catalog.relations
        for trigger in relation.triggers
        if trigger.function == function.full_name
    ]
    return f"Nobody; it is run by {', '.join(fired)}." if fired else "Nobody but its owner."


def _title(words: str) -> Iterator[Line]:
    yield from ((line, BOLD) for line in wrap(words, WIDTH, subsequent_indent="  "))


def _head(words: str) -> Iterator[Line]:
    yield "", None
    yield words, BOLD


def para(words: str | None, indent: int = 2) -> Iterator[Line]:
    """A paragraph within WIDTH."""
    margin = " " * indent
    lines = wrap(words or "", WIDTH, initial_indent=margin, subsequent_indent=margin)
    yield from ((line, None) for line in lines)


def item(label: str, words: str, indent: int = 2) -> Iterator[Line]:
    """A word and what is said of it, within WIDTH."""
    margin = " " * (indent + 4)
    lines = wrap(f"{label}: {words}", WIDTH, initial_indent=margin[4:], subsequent_indent=margin)
    yield from ((line, None) for line in lines)
