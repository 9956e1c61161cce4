"""Joins name the organisation: each statement of each body, read by PostgreSQL's own grammar.

On many machines the rows of an organisation stand together, and a join that says so stays on one of
them. Wherever one level of a query reads several tables of tenants, or a sub-query looks at a row
of such a table around it, they must be tied by equal org_id, directly or by a variable.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pglast
import psycopg
import pytest
from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType
from pglast.stream import RawStream

from helpers import SQL

FILES = sorted([*(SQL / "functions").rglob("*.sql"), *(SQL / "views").glob("*.sql")])

# What does not name the organisation, how often, and by what it goes instead. That is right as long
# as ids are unique on one machine; before tables are distributed each of these gets its org_id.
BY_JOB = "the rows of one job, whose id belongs to one organisation"
BY_CARD = "what is kept of one card, whose id belongs to one organisation"
BY_TASK = "the rows of one task, whose id belongs to one organisation"
MEANT = {
    "blockers_of": (2, BY_CARD),
    "claim_sends": (1, BY_JOB),
    "complete_and_claim": (3, BY_JOB),
    "count_tasks": (1, BY_JOB),
    "draft_cards": (1, BY_TASK),
    "end_send_tasks": (1, BY_TASK),
    "fold_waiting": (1, BY_JOB),
    "heartbeat_tasks": (1, BY_TASK),
    "measure_job": (1, BY_JOB),
    "promote_due": (1, BY_JOB),
    "refresh_job_metrics": (1, BY_JOB),
    "review_cards": (2, BY_TASK),
    "rollup_of": (2, BY_JOB),
    "settle_tasks": (1, BY_JOB),
    "skip_open_tasks": (4, BY_JOB),
}

# Statements that are made as text, and cannot be read before they run.
AS_TEXT = {
    "adopt_in_place": (1, "an index or a check of one table of the host"),
    "column_comments": (1, "a comment"),
    "contacts_of": (1, "the contacts of one organisation, from the table that is bound"),
    "review_cards": (2, "lock and update cards by ids of whatever type the host's have"),
}

TABLES = """
select format('%s.%s', n.nspname, c.relname)
from pg_attribute as a
inner join pg_class as c on c.oid = a.attrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where a.attname = 'org_id' and c.relkind in ('r', 'p', 'v', 'm')
  and n.nspname in ('public', 'jobsdb')
"""

STATEMENT, EXPRESSION = 0, 2  # enum RawParseMode of the server; what is greater are assignments
VARIABLE = "a variable"


def queries(text: str) -> Iterator[str]:
    """Every query of a file: of views, of functions in SQL, of each plpgsql statement."""
    for statement in pglast.split(text):
        node = pglast.parse_sql(statement)[0].stmt
        if not isinstance(node, ast.CreateFunctionStmt) or node.sql_body is not None:
            yield statement
        elif "\nlanguage plpgsql\n" in statement:
            yield from expressions(pglast.parse_plpgsql(readable(statement)))
        else:
            (body,) = (option.arg for option in node.options if option.defname == "as")
            yield body[0].sval


def readable(function: str) -> str:
    """A plpgsql function as pglast takes it, which knows neither our schema nor our types.

    Arguments lose the name of their function: what has none is a variable, for columns always carry
    the name of their table.
    """
    name = re.search(r"function \w+\.(\w+)", function)[1]
    function = re.sub(r"\bjobsdb\.\w+\[\]", "text[]", function)
    function = re.sub(rf"(?<![.\w]){name}\.", "", function)
    return function.replace("jobsdb.", "public.jobsdb_")


def expressions(node: object) -> Iterator[str]:
    """Every statement and expression of a plpgsql function that pglast has read."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "PLpgSQL_expr":
                query = as_query(value["query"], value["parseMode"])
                yield query.replace("public.jobsdb_", "jobsdb.")
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def as_query(text: str, mode: int) -> str:
    if mode == STATEMENT:
        return text
    return "select " + (text if mode == EXPRESSION else re.sub(r"^[^=]*=", "", text))


def untied(node: object, tables: set[str], around: frozenset[str] = frozenset()) -> Iterator[Any]:
    """The levels of a query in which tables of tenants are not tied by org_id.

    `around` are the aliases of such tables of the levels around it.
    """
    if isinstance(node, (ast.SelectStmt, ast.UpdateStmt, ast.DeleteStmt)):
        sources = dict(relations(reads(node)))
        tenants = {alias for alias, name in sources.items() if name in tables}
        around -= sources.keys()
        if tenants and not is_tied(node, sources.keys() - tenants, tenants, around):
            yield node
        around |= tenants
    for one in parts(node):
        yield from untied(one, tables, around)


def parts(node: object) -> Iterator[object]:
    """What a node consists of."""
    if isinstance(node, tuple):
        yield from node
    elif isinstance(node, ast.Node):
        yield from (getattr(node, name) for name in node)


def reads(node: Any) -> tuple[Any, ...]:
    """What a level reads from."""
    if isinstance(node, ast.SelectStmt):
        return node.fromClause or ()
    more = node.fromClause if isinstance(node, ast.UpdateStmt) else node.usingClause
    return (node.relation, *(more or ()))


def relations(items: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """Alias and name of every source; what is no table has no name."""
    for item in items:
        if isinstance(item, ast.JoinExpr):
            yield from relations((item.larg, item.rarg))
        elif isinstance(item, ast.RangeVar):
            alias = item.alias.aliasname if item.alias else item.relname
            yield alias, f"{item.schemaname}.{item.relname}"
        elif item.alias is not None:
            yield item.alias.aliasname, ""


def conditions(items: tuple[Any, ...]) -> Iterator[object]:
    """The conditions of joins."""
    for item in items:
        if isinstance(item, ast.JoinExpr):
            yield item.quals
            yield from conditions((item.larg, item.rarg))


def is_tied(node: Any, others: set[str], tenants: set[str], around: frozenset[str]) -> bool:
    """Whether the tables of tenants of a level hang together, and with what it looks at around."""
    said = (node.whereClause, *conditions(reads(node)))
    known = others | tenants | around
    groups = [{alias} for alias in (*known, VARIABLE)]
    for tie in ties(said):
        pair = {alias if alias in known else VARIABLE for alias in tie}
        touched = [group for group in groups if group & pair]
        groups = [group for group in groups if not group & pair] + [set().union(*touched)]
    (mine, *more) = [group for group in groups if group & tenants]
    looks_out = any(alias in around for alias in aliases(said))
    return not more and (not looks_out or bool(mine & {*around, VARIABLE}))


def ties(said: object) -> Iterator[tuple[str, str]]:
    """What conditions, all of which must hold, say of equal org_id: the aliases of both sides."""
    if isinstance(said, tuple):
        for one in said:
            yield from ties(one)
    elif isinstance(said, ast.BoolExpr) and said.boolop == BoolExprType.AND_EXPR:
        yield from ties(said.args)
    elif isinstance(said, ast.SubLink):  # … in (select …)
        yield from ((alias, VARIABLE) for alias in map(organisation, row(said.testexpr)) if alias)
    elif isinstance(said, ast.A_Expr) and (
        said.name[-1].sval == "=" or said.kind == A_Expr_Kind.AEXPR_NOT_DISTINCT
    ):
        for sides in zip(row(said.lexpr), row(said.rexpr), strict=False):
            left, right = map(organisation, sides)
            if left or right:
                yield left or VARIABLE, right or VARIABLE


def row(node: object) -> tuple[object, ...]:
    return node.args if isinstance(node, ast.RowExpr) else (node,)


def organisation(node: object) -> str | None:
    """The alias of whose org_id this is."""
    if isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.ColumnRef) and node.fields[-1] == ast.String("org_id"):
        return next(iter(aliases(node)), None)
    return None


def aliases(node: object) -> Iterator[str]:
    """The alias of every column that is mentioned."""
    if isinstance(node, ast.ColumnRef) and len(node.fields) > 1:
        yield node.fields[0].sval
    for one in parts(node):
        yield from aliases(one)


def loose(text: str, tables: set[str]) -> list[str]:
    """The levels of all queries of a file that are not tied, as SQL."""
    found = [node for query in queries(text) for node in untied(pglast.parse_sql(query), tables)]
    return [RawStream()(node) for node in found]


@pytest.fixture(scope="module")
def tables(module_db: psycopg.Connection) -> set[str]:
    """The names of the tables and views that have rows of tenants."""
    return {name for (name,) in module_db.execute(TABLES)}


def test_every_join_names_the_organisation(tables: set[str]) -> None:
    found = {path.stem: loose(path.read_text(), tables) for path in FILES}
    strange = {
        name: levels for name, levels in found.items() if len(levels) != MEANT.get(name, (0,))[0]
    }
    assert strange == {}
    assert MEANT.keys() <= found.keys()


def test_every_statement_is_read_but_for_those_that_are_made_as_text() -> None:
    made = Counter(
        path.stem
        for path in FILES
        for _ in re.findall(r"^[^'\n]*\bexecute (?!on\b)", path.read_text(), re.MULTILINE)
    )
    assert made == {name: count for name, (count, _) in AS_TEXT.items()}
    assert sum(1 for path in FILES for _ in queries(path.read_text())) > 2000


@pytest.mark.parametrize(
    ("statement", "is_tied"),
    [
        ("perform 1 from jobs as j, job_tasks as t where t.job_id = j.id", False),
        ("perform 1 from jobs as j join job_tasks as t on t.job_id = j.id", False),
        ("perform 1 from jobs as j join job_tasks as t on t.org_id = j.org_id", True),
        ("perform 1 from jobs as j, job_tasks as t where (t.org_id, 1) = (j.org_id, 1)", True),
        ("perform 1 from jobs as j, job_tasks as t where t.org_id = o and j.org_id = o", True),
        ("perform 1 from jobs as j, job_tasks as t where t.org_id = o", False),
        ("perform 1 from jobs as j, job_tasks as t where t.org_id = j.org_id or true", False),
        ("perform 1 from jobs as j where exists (select from job_tasks as t)", True),
        (
            "perform 1 from jobs as j where exists"
            " (select from job_tasks as t where t.job_id = j.id)",
            False,
        ),
        (
            "perform 1 from jobs as j where exists"
            " (select from job_tasks as t where t.job_id = j.id and t.org_id = v.org_id)",
            True,
        ),
        ("update jobs as j set name = '' from job_tasks as t where t.job_id = j.id", False),
        ("delete from job_tasks as t using jobs as j where j.id = t.job_id", False),
        ("n[1] := (select 1 from jobs as j, job_tasks as t where t.job_id = j.id)", False),
        ("if (select true from jobs as j, job_tasks as t) then return; end if", False),
        ("perform 1 from jobs as j join jobsdb.task_kinds as k on k.kind = j.name", True),
    ],
)
def test_a_join_that_does_not_is_seen(tables: set[str], statement: str, is_tied: bool) -> None:
    statement = re.sub(r"\b(jobs|job_tasks) as\b", r"public.\1 as", statement)
    body = (
        "create function jobsdb.f(o uuid, v jobsdb.leases, n jobsdb.touch[]) returns void"
        f"\nlanguage plpgsql\nas $$ begin {statement}; end $$"
    )
    assert (loose(body, tables) == []) is is_tied
