"""What a database says of its own jobsdb: relations, functions, moves, each with its comment.

The catalog is read by sql/explain/, one JSON document a row, whose keys are the fields below.
`jobsdb explain` tells of some of it, `jobsdb docs` of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jobsdb import errors, sqlfiles
from jobsdb.check import checks

if TYPE_CHECKING:
    from jobsdb.connect import Connection

ROLES = ("anon", "authenticated", "service_role")
"""Who is not the owner: nobody, a tenant, an agent."""

_LABELS = ("Units", "Returns", "Errors", "Source")
_PART = re.compile(rf"^({'|'.join(_LABELS)}):\s+(.+)$", re.MULTILINE)
_SENTENCE = re.compile(r".*?[.!?](?=\s+[A-Z]|$)", re.DOTALL)
_MADE = re.compile(r"^\s*create (?:or replace )?(?:table|(?:materialized )?view) (\S+)", re.M)
_TRIGGER = re.compile(
    r"^\s*create (?:or replace )?(?:constraint )?trigger (\w+)\n.*?\bon (\S+)$", re.M | re.S
)


@dataclass(frozen=True)
class Column:
    """A column of a table or view."""

    name: str
    type: str
    nullable: bool
    default: str | None
    comment: str | None


@dataclass(frozen=True)
class Constraint:
    """A key or check; `refers_to` is the other table of a foreign key."""

    name: str
    definition: str
    refers_to: str | None
    comment: str | None


@dataclass(frozen=True)
class Index:
    """An index that is not a key's."""

    name: str
    definition: str
    comment: str | None


@dataclass(frozen=True)
class Trigger:
    """A trigger; `moment` is such as `before each row`, `events` of insert, update, delete."""

    name: str
    moment: str
    events: list[str]
    columns: list[str]
    condition: str | None
    function: str
    enabled: bool
    comment: str | None


@dataclass(frozen=True)
class Policy:
    """A policy of row-level security."""

    name: str
    verb: str
    roles: list[str]
    sees: str | None
    writes: str | None
    comment: str | None


@dataclass(frozen=True)
class Grant:
    """What a role may do with a relation; no columns means all of them."""

    role: str
    verb: str
    columns: list[str]


@dataclass(frozen=True)
class Relation:
    """A table or view. Triggers stand in firing order."""

    schema: str
    name: str
    kind: str
    secured: bool
    comment: str | None
    columns: list[Column]
    constraints: list[Constraint]
    indexes: list[Index]
    triggers: list[Trigger]
    policies: list[Policy]
    grants: list[Grant]

    @property
    def full_name(self) -> str:
        """Name with schema."""
        return f"{self.schema}.{self.name}"

    def rights(self, role: str) -> dict[str, list[str]]:
        """What a role may do: columns by verb."""
        return {grant.verb: grant.columns for grant in self.grants if grant.role == role}


@dataclass(frozen=True)
class Argument:
    """An argument, or a column of the result; `mode` i (in), o, b, v or t as in pg_proc."""

    name: str
    type: str
    mode: str
    default: str | None


@dataclass(frozen=True)
class Function:
    """A function; what it calls and changes stands in the order of its text."""

    schema: str
    name: str
    arguments: list[Argument]
    result: str
    is_trigger: bool
    volatility: str
    security: str
    comment: str | None
    roles: list[str]
    calls: list[str]
    changes: list[dict[str, str]]

    @property
    def full_name(self) -> str:
        """Name with schema."""
        return f"{self.schema}.{self.name}"

    @cached_property
    def said(self) -> dict[str, str]:
        """The labelled lines of its comment: Units, Returns, Errors, Source."""
        return dict(_PART.findall(self.comment or ""))

    @property
    def sentences(self) -> str:
        """Its comment without the labelled lines."""
        return _PART.sub("", self.comment or "").strip()

    @property
    def source(self) -> str:
        """Its file."""
        return self.said.get("Source", "")

    @property
    def signature(self) -> str:
        """Arguments and result."""
        taken = (
            " ".join(filter(None, (a.name, a.type, a.default and f"= {plain(a.default)}")))
            for a in self.arguments
            if a.mode in "ibv"
        )
        return f"({', '.join(taken)}) returns {self.result}"


@dataclass(frozen=True)
class Move:
    """A legal move of a job, task or card; `from_status` None: how it begins."""

    entity: str
    table: str
    column: str
    from_status: str | None
    to_status: str
    meaning: str
    functions: list[str]


@dataclass(frozen=True)
class Catalog:
    """Everything of jobsdb in a database."""

    relations: list[Relation]
    functions: list[Function]
    moves: list[Move]
    sources: dict[str, str] = field(repr=False)
    """File by relation (`public.jobs`) and trigger (`public.jobs.t10_guard_ins`)."""

    def relation(self, full_name: str) -> Relation:
        """A relation by its name with schema."""
        return next(each for each in self.relations if each.full_name == full_name)

    def function(self, full_name: str) -> Function:
        """A function by its name with schema; of a foreign one only the name is known."""
        schema, _, name = full_name.rpartition(".")
        foreign = Function(schema, name, [], "", False, "", "", None, [], [], [])
        return next((each for each in self.functions if each.full_name == full_name), foreign)

    def ways(self, move: Move) -> Iterator[tuple[str, list[str]]]:
        """How a move is made, each way with the roles that may: by functions, and in plain SQL."""
        for name in move.functions:
            yield name, self.function(f"public.{name}").roles
        verb = "update" if move.from_status else "insert"
        table = self.relation(move.table)
        yield "plain SQL", [r for r in ROLES if move.column in table.rights(r).get(verb, ())]


def plain(default: str) -> str:
    """A default without the cast that the catalog adds."""
    return re.sub(r"::[\w\s]+(\[\])?$", "", default).replace("NULL", "null")


def first_sentence(text: str | None) -> str:
    """What a comment says first."""
    found = _SENTENCE.match(text or "")
    return " ".join((found[0] if found else text or "").split())


def read(conn: Connection) -> Catalog:
    """The catalog of a database. Errors: JobsdbError, also when jobsdb is not there."""
    import psycopg
    from psycopg.types.json import Jsonb

    from jobsdb.check.verify import SETTINGS

    public = Jsonb([name for name, _ in checks.expected_facts()["ours"]])
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("set transaction read only")
            conn.execute(SETTINGS.encode())
            conn.execute("set local row_security = off")  # rather an error than half the moves
            moves = [Move(**row) for row in _rows(conn, "moves")]
            relations = [_relation(row) for row in _rows(conn, "relations", public)]
            functions = [_function(row) for row in _rows(conn, "functions", public)]
    except psycopg.Error as exc:
        raise errors.from_postgres(exc) from exc
    return Catalog(relations, functions, moves, dict(_sources()))


def _rows(conn: Connection, name: str, *values: object) -> Iterator[dict[str, Any]]:
    """The documents that a file of sql/explain/ returns."""
    from psycopg import RawCursor

    text = sqlfiles.normalise((sqlfiles.sql_root() / "explain" / f"{name}.sql").read_bytes())
    for (document,) in RawCursor(conn).execute(text.encode(), values or None).fetchall():
        yield document


def _relation(row: dict[str, Any]) -> Relation:
    parts: dict[str, type[Any]] = {
        "columns": Column,
        "constraints": Constraint,
        "indexes": Index,
        "triggers": Trigger,
        "policies": Policy,
        "grants": Grant,
    }
    return Relation(**{key: _made(parts.get(key), value) for key, value in row.items()})


def _function(row: dict[str, Any]) -> Function:
    return Function(**{**row, "arguments": [Argument(**each) for each in row["arguments"]]})


def _made(kind: type[Any] | None, value: Any) -> Any:
    return value if kind is None else [kind(**each) for each in value]


def _sources() -> Iterator[tuple[str, str]]:
    """Which file makes a relation or a trigger; no catalog knows it."""
    for file in sqlfiles.load():
        for name in _MADE.findall(file.text):
            yield name, f"sql/{file.path}"
        for trigger, table in _TRIGGER.findall(file.text):
            yield f"{table}.{trigger}", f"sql/{file.path}"
