"""A test double of PostgREST: an HTTP server on loopback that sends SQL in PostgREST's shapes.

It is not PostgREST and proves nothing about it. What it copies, read off PostgREST's sources: one
transaction a request; search_path, role and request.jwt.claims by set_config, in this order; bodies
by json_to_recordset with the types of the columns, as the caller; calls by argument names; the code
of an error, its message, details and hint as JSON, under the HTTP status of that code. The token is
not signed: its second part is read and believed.
"""

import json
import re
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal

STATUS = {
    "08": 503, "09": 500, "0L": 403, "0P": 403, "23503": 409, "23505": 409, "25006": 405,
    "25": 500, "28": 403, "2D": 500, "38": 500, "39": 500, "3B": 500, "40": 500, "53": 503,
    "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500, "P0001": 400, "P0": 500,
    "XX": 500, "42883": 404, "42P01": 404, "42P17": 500,
}  # fmt: skip
"""HTTP status by SQLSTATE, else by its class; everything else is 400 (PostgREST, Error.hs)."""
OPERATORS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "neq": "<>"}
COLUMNS = """
select a.attname, format_type(a.atttypid, null)
from pg_attribute a
where a.attrelid = to_regclass('public.' || quote_ident(%s)) and a.attnum > 0 and not a.attisdropped
"""
FUNCTION = """
select p.proargnames, array(
  select format_type(t, null) from unnest(p.proargtypes) with ordinality u (t, n) order by n
), p.proretset, t.typtype = 'c' or p.prorettype = 'record'::regtype
from pg_proc p join pg_type t on t.oid = p.prorettype
where p.pronamespace = 'public'::regnamespace and p.proname = %s
"""
Answer = tuple[int, Any]


def token(**claims: Any) -> str:
    """A JWT that says so; nobody has signed it."""
    body = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.unsigned"


def status_of(sqlstate: str, identified: bool) -> int:
    if sqlstate == "42501":
        return 403 if identified else 401
    return STATUS.get(sqlstate) or STATUS.get(sqlstate[:2]) or 400


def comma(parts: list[Composable]) -> Composable:
    return SQL(", ").join(parts)


class Double:
    """Answers requests over one connection of the role authenticator."""

    def __init__(self, conninfo: str) -> None:
        self.conn = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
        self.lock = threading.Lock()
        self.columns: dict[str, dict[str, str]] = {}
        self.sent: list[str] = []

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Answer:
        bearer = (headers.get("Authorization") or "").partition("Bearer ")[2]
        part = bearer.split(".")[1] if bearer.count(".") == 2 else "e30"
        claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        role = claims.get("role", "anon")
        where, _, query = path.partition("?")
        name = urlsplit(where).path.strip("/")
        with self.lock:
            try:
                with self.conn.transaction():
                    for setting, value in (
                        ("search_path", '"public"'),
                        ("role", role),
                        ("request.jwt.claims", json.dumps({**claims, "role": role})),
                        ("request.method", method),
                        ("request.path", f"/{name}"),
                    ):
                        self.conn.execute("select set_config(%s, %s, true)", [setting, value])
                    return self._answer(method, name, dict(parse_qsl(query)), headers, body)
            except psycopg.Error as error:
                said = error.diag
                return status_of(error.sqlstate or "", role != "anon"), {
                    "code": error.sqlstate,
                    "message": said.message_primary,
                    "details": said.message_detail,
                    "hint": said.message_hint,
                }

    def _answer(
        self, method: str, name: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Answer:
        if name.startswith("rpc/"):
            return self._call(name.removeprefix("rpc/"), json.loads(body or b"{}"))
        types = self._types(name)
        if not types:
            return 404, {"code": "PGRST205", "message": f"no table {name}", "details": None,
                         "hint": None}  # fmt: skip
        table = SQL("{}.{}").format(Identifier("public"), Identifier(name))
        wanted = self._conditions(query)
        if method == "GET":
            rows = SQL("select {} from {}{}").format(self._selected(query), table, wanted)
            if limit := query.get("limit"):
                rows += SQL(" limit {}").format(Literal(int(limit)))
            return 200, self._json(rows)
        given = json.loads(body) if body else []
        sent = given if isinstance(given, list) else [given]
        keys = sorted({key for row in sent for key in row})
        cells = [SQL("{} {}").format(Identifier(k), SQL(types.get(k, "text"))) for k in keys]
        source = SQL("json_to_recordset({}::json) as _({})").format(
            Literal(json.dumps(sent)), comma(cells)
        )
        names = comma([Identifier(key) for key in keys])
        if method == "POST":
            change = SQL("insert into {} ({}) select {} from {}").format(
                table, names, names, source
            )
        elif method == "PATCH":
            sets = comma([SQL("{0} = _.{0}").format(Identifier(key)) for key in keys])
            change = SQL("update {} set {} from {}{}").format(
                table, sets, source, self._conditions(query, table)
            )
        else:
            change = SQL("delete from {}{}").format(table, wanted)
        if "return=representation" in (headers.get("Prefer") or ""):
            change += SQL(" returning {}.*").format(table)
            return 201 if method == "POST" else 200, self._json(change)
        self._send(change)
        return 204, None

    def _call(self, name: str, arguments: dict[str, Any]) -> Answer:
        found = self.conn.execute(FUNCTION, [name]).fetchall()
        if len(found) == 1 and not found[0][0] and found[0][1] in (["json"], ["jsonb"]):
            # One argument without a name: it takes the whole body.
            whole = SQL("select pgrst_call.* from public.{}({}) as pgrst_call").format(
                Identifier(name), Literal(json.dumps(arguments))
            )
            return 200, self._json(whole)[0]
        if len(found) != 1 or not set(arguments) <= set(found[0][0] or []):
            return 404, {"code": "PGRST202", "message": f"no function {name} with these arguments",
                         "details": None, "hint": None}  # fmt: skip
        names, types, is_set, is_row = found[0]
        by_name = dict(zip(names or [], types, strict=False))
        cells = comma([SQL("{} {}").format(Identifier(a), SQL(by_name[a])) for a in arguments])
        called = comma([SQL("{0} := _.{0}").format(Identifier(a)) for a in arguments])
        source = SQL("json_to_record({}::json) as _({}), lateral ").format(
            Literal(json.dumps(arguments)), cells
        )
        rows = SQL("select pgrst_call.* from {}{}({}) as pgrst_call").format(
            source if arguments else SQL(""),
            SQL("public.{}").format(Identifier(name)), called,
        )  # fmt: skip
        data = self._json(rows)
        if is_set:
            return 200, data
        return 200, data[0] if is_row else next(iter(data[0].values()), None)

    def _types(self, table: str) -> dict[str, str]:
        if table not in self.columns:
            self.columns[table] = dict(self.conn.execute(COLUMNS, [table]).fetchall())
        return self.columns[table]

    def _conditions(self, query: dict[str, str], table: Composable | None = None) -> Composable:
        parts: list[Composable] = []
        for key, value in query.items():
            if key in ("select", "order", "limit", "offset", "columns", "on_conflict"):
                continue
            operator, _, operand = value.partition(".")
            column = SQL("{}.{}").format(table, Identifier(key)) if table else Identifier(key)
            parts.append(SQL("{} {} {}").format(column, SQL(OPERATORS[operator]), Literal(operand)))
        return SQL(" where ") + SQL(" and ").join(parts) if parts else SQL("")

    def _selected(self, query: dict[str, str]) -> Composable:
        wanted = query.get("select", "*")
        names = [name for name in re.split(r"\s*,\s*", wanted) if name != "*"]
        return comma([Identifier(name) for name in names]) if names else SQL("*")

    def _json(self, rows: Composable) -> Any:
        text = SQL("with pgrst_source as ({}) select coalesce(json_agg(_), '[]') from"
                   " pgrst_source as _")  # fmt: skip
        return self._send(text.format(rows)).fetchone()[0]

    def _send(self, statement: Composable) -> psycopg.Cursor:
        self.sent.append(statement.as_string(self.conn))
        return self.conn.execute(statement)


@contextmanager
def serving(conninfo: str) -> Iterator[str]:
    """Serve a database; yields the URL."""
    double = Double(conninfo)

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, data = double.answer(self.command, self.path, self.headers, body)
            text = b"" if status == 204 else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = respond

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            double.conn.close()
