"""Rules of the SQL that no catalog shows: they keep the way to many machines open."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pglast
import pytest
from pglast import ast
from pglast.enums import AlterTableType, ConstrType
from pglast.visitors import Visitor

from helpers import SQL

TRANSITION = {"old_rows", "new_rows"}
MIGRATIONS = sorted((SQL / "migrations").glob("*.sql"))
TRIGGER_FUNCTIONS = [
    path
    for path in sorted((SQL / "functions").rglob("*.sql"))
    if re.search(r"\b(old|new)_rows\b", path.read_text())
]


def foreign_keys_in_place(text: str) -> str:
    """Its statements as letters: T a table, t one with a foreign key in it, F a foreign key."""
    letters = ""
    for statement in (raw.stmt for raw in pglast.parse_sql(text)):
        if isinstance(statement, ast.CreateStmt):
            parts = statement.tableElts or ()
            some = [c for e in parts for c in (getattr(e, "constraints", None) or (e,))]
            letters += "t" if any(is_foreign_key(c) for c in some) else "T"
        elif isinstance(statement, ast.AlterTableStmt):
            letters += "".join(
                "F"
                for command in statement.cmds
                if command.subtype == AlterTableType.AT_AddConstraint
                and is_foreign_key(command.def_)
            )
    return letters


def is_foreign_key(node: object) -> bool:
    return isinstance(node, ast.Constraint) and node.contype == ConstrType.CONSTR_FOREIGN


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_foreign_keys_stand_in_one_place_after_all_tables(path: Path) -> None:
    assert re.fullmatch("T*F*", foreign_keys_in_place(path.read_text()))


def test_a_foreign_key_out_of_place_is_seen() -> None:
    assert foreign_keys_in_place("create table a (b int references c)") == "t"
    assert foreign_keys_in_place("create table a (b int, foreign key (b) references c)") == "t"
    assert (
        foreign_keys_in_place(
            "create table a (b int check (b > 0)); alter table a add constraint x foreign key (b)"
            " references c; create table d ()"
        )
        == "TFT"
    )


class Sources(Visitor):
    """What each statement reads from, level by level."""

    def __init__(self) -> None:
        self.levels: list[set[str]] = []

    def visit_SelectStmt(self, _: object, node: Any) -> None:
        self.levels.append({name for item in node.fromClause or () for name in names(item)})

    def visit_UpdateStmt(self, _: object, node: Any) -> None:
        some = (node.relation, *(node.fromClause or ()))
        self.levels.append({name for item in some for name in names(item)})

    def visit_DeleteStmt(self, _: object, node: Any) -> None:
        some = (node.relation, *(node.usingClause or ()))
        self.levels.append({name for item in some for name in names(item)})


def names(item: object) -> Iterator[str]:
    if isinstance(item, ast.RangeVar):
        yield item.relname
    elif isinstance(item, ast.JoinExpr):
        yield from names(item.larg)
        yield from names(item.rarg)


def joined_to_transition_rows(text: str) -> list[set[str]]:
    """The sources of every query of a body that reads transition rows and something else."""
    found: list[set[str]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if "PLpgSQL_expr" in node:
                found.extend(sources(node["PLpgSQL_expr"]["query"]))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(pglast.parse_plpgsql(text))
    return [level for level in found if level & TRANSITION and level - TRANSITION]


def sources(query: str) -> list[set[str]]:
    visitor = Sources()
    for form in (query, f"select {query}"):
        try:
            visitor(pglast.parse_sql(form))
            break
        except pglast.parser.ParseError:
            continue
    return visitor.levels


@pytest.mark.parametrize("path", TRIGGER_FUNCTIONS, ids=lambda path: path.stem)
def test_transition_rows_are_joined_to_nothing_else(path: Path) -> None:
    assert joined_to_transition_rows(path.read_text()) == []


def test_a_join_of_transition_rows_is_seen() -> None:
    body = "create function f() returns trigger language plpgsql as $$ begin {}; end $$"
    for statement in (
        "perform 1 from new_rows as n join public.jobs as j on j.id = n.job_id",
        "update public.jobs as j set name = '' from new_rows as n where n.job_id = j.id",
        "delete from public.jobs as j using old_rows as o where o.job_id = j.id",
    ):
        assert joined_to_transition_rows(body.format(statement)), statement
    assert not joined_to_transition_rows(
        body.format("perform 1 from new_rows as n join old_rows as o on n.id = o.id")
    )
    assert TRIGGER_FUNCTIONS
