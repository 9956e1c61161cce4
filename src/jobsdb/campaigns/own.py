"""`jobsdb seed --from contacts.csv --params my.json`: a developer's own contacts and campaign.

The files are only brought into the form that upsert_contacts and create_job take; what is right or
wrong in them, the database says.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsdb import errors, render
from jobsdb.campaigns import samples

if TYPE_CHECKING:
    from jobsdb.connect import Connection

BATCH = 1_000
"""Contacts in one call of upsert_contacts."""
SHOWN = 40
"""Contacts that are listed; of more, only the number is told."""

_KEYS = ("contact_key", "id")
_SPECIAL = ("email", "groups", "time_zone")
_BOOLEANS = {"true": True, "false": False}
_COLUMNS = (
    "The first line names the columns: contact_key (or id), email, groups, time_zone; every other"
    " column becomes an attribute."
)

_SOURCE = "select s.relation from jobsdb.contact_source as s"
_ADD = "select jobsdb.add_org_member(%s, %s)"
_UPSERT = "select public.upsert_contacts(%s, %s)"
_VALIDATE = "select p.severity, p.path, p.sentence, p.hint from public.validate_job_params(%s) as p"
_CREATE = "select j.id::text, j.name, j.status::text from public.create_job(%s) as j"
_AUDIENCE = "select * from public.dry_run_job(%s) as d order by d.is_in, d.reason, d.contact_key"


def read_contacts(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file as upsert_contacts takes them.

    UTF-8, with or without a byte order mark; separated by comma, semicolon or tab, whichever the
    first line has most of. Groups are separated by semicolons, commas or bars; `true` and `false`
    become JSON's, so that target_filter can ask for them; an empty cell is left out.
    Errors: UsageError.
    """
    text = _text(path)
    first_line = text.partition("\n")[0]
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=first_line.count), strict=True
    )
    try:
        heads = _heads(path, [head.strip() for head in next(rows, [])])
        return [_contact(path, rows.line_num, heads, row) for row in rows if any(row)]
    except csv.Error as exc:
        raise errors.UsageError(
            f"{path} is no CSV file: {exc} (line {rows.line_num})",
            hint='A cell with separators, quotes or line ends stands in "quotes".',
        ) from exc


def _heads(path: Path, heads: list[str]) -> list[str]:
    """The names of the columns, those with a meaning in lower case. Errors: UsageError."""
    names = [name.lower() if name.lower() in (*_KEYS, *_SPECIAL) else name for name in heads]
    if not any(name in _KEYS for name in names):
        raise errors.UsageError(f"{path} has no column contact_key or id", hint=_COLUMNS)
    if "contact_key" not in names:
        names[names.index("id")] = "contact_key"
    for name, count in Counter(names).items():
        if name == "" or count > 1:
            what = f'{count} columns "{name}"' if name else "a column without a name"
            raise errors.UsageError(f"{path} has {what}", hint=_COLUMNS)
    return names


def _contact(path: Path, line: int, heads: list[str], row: list[str]) -> dict[str, Any]:
    """A row as upsert_contacts takes it. Errors: UsageError."""
    if len(row) > len(heads):
        raise errors.UsageError(
            f"line {line} of {path} has {len(row)} cells, but there are {len(heads)} columns",
            hint='A cell that contains the separator stands in "quotes".',
        )
    cells = {head: cell.strip() for head, cell in zip(heads, row, strict=False) if cell.strip()}
    contact: dict[str, Any] = {"contact_key": cells.pop("contact_key", "")}
    if not contact["contact_key"]:
        raise errors.UsageError(f"line {line} of {path} has no contact_key", hint=_COLUMNS)
    groups = cells.pop("groups", "").replace("|", ";").replace(",", ";").split(";")
    contact["groups"] = [name.strip() for name in groups if name.strip()]
    contact |= {name: cells.pop(name) for name in ("email", "time_zone") if name in cells}
    contact["attributes"] = {name: _BOOLEANS.get(cell, cell) for name, cell in cells.items()}
    return contact


def read_payload(path: Path) -> dict[str, Any]:
    """What create_job takes, from a JSON file with the whole of it or with params alone.

    Without a name the job is called like the file. Errors: UsageError.
    """
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError) as exc:
        raise errors.UsageError(
            f"{path} is no JSON file: {exc}",
            hint='Write {"name": …, "params": {…}}, or the params alone.',
        ) from exc
    if not isinstance(found, dict):
        raise errors.UsageError(
            f"{path} is no JSON object", hint='Write {"name": …, "params": {…}}, or the params.'
        )
    payload = found if "params" in found else {"params": found}
    return {"name": path.stem, **payload}


def _text(path: Path) -> str:
    """What a file says. Errors: UsageError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise errors.UsageError(
            f"{path} cannot be read: {exc.strerror}", hint="Check the name and its permissions."
        ) from exc
    except UnicodeDecodeError as exc:
        raise errors.UsageError(
            f"{path} is not UTF-8 (byte {exc.start + 1})", hint="Save it as UTF-8."
        ) from exc
    if "\0" in text:
        raise errors.UsageError(f"{path} is no text: it has NUL bytes", hint="Save it as UTF-8.")
    return text


def load(
    conn: Connection,
    contacts: list[dict[str, Any]] | None,
    payload: dict[str, Any] | None,
    org: str | None,
    as_user: str | None,
) -> None:
    """Write the contacts and create the job, all or nothing; then say who is in and who is out.

    The organisation: `org`, else the one the payload names, else sample organisation A.
    Errors: JobsdbError.
    """
    from psycopg.types.json import Jsonb

    owner = org or (payload or {}).get("org_id") or samples.ORGANISATIONS["A"]
    if contacts is not None and (bound := conn.execute(_SOURCE).fetchone()):
        raise errors.Refused(
            f"campaigns here address the contacts of {bound[0]}, not those of a file",
            hint="Add them there and leave --from away, or take the binding back:"
            " select jobsdb.bind_host_contacts(null).",
        )
    with samples.transaction(conn):
        if as_user:
            conn.execute(_ADD, (as_user, owner))
            samples.set_local(conn, "request.jwt.claims", json.dumps({"sub": as_user}))
        if contacts is not None:
            for part in _parts(contacts):
                conn.execute(_UPSERT, (Jsonb(part), owner))
            render.out(f"{len({c['contact_key'] for c in contacts}):,} contacts written.")
        if payload is None:
            return
        problems = conn.execute(_VALIDATE, (Jsonb(payload["params"]),)).fetchall()
        if problems:
            render.out("\nWhat is to be said about the params:\n")
            render.table(("severity", "where", "problem", "what to do"), problems)
        created = conn.execute(_CREATE, (Jsonb({**payload, "org_id": owner}),)).fetchone()
    id_, name, status = created or ("", "", "")
    render.out(f'\nJob "{name}" of organisation {owner} is {status}:\n\n  {id_}\n')
    _show_audience(conn, id_)
    render.out("\nTo try next, as the owner or the service role:\n")
    render.out(f"select * from preview_job('{id_}');")
    render.out(f"select status from transition_job_status('{id_}', 'running');")


def _parts(contacts: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(contacts), BATCH):
        yield contacts[start : start + BATCH]


def _show_audience(conn: Connection, job: str) -> None:
    """Who is in, who is out and why: those who are out first."""
    audience = conn.execute(_AUDIENCE, (job,)).fetchall()
    reasons = Counter(reason for *_, reason in audience if reason)
    said = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    out = sum(reasons.values())
    render.out(f"In: {len(audience) - out:,}. Out: {out:,}{said and f' ({said})'}.\n")
    rows = [(key, email, "in" if is_in else reason) for key, email, is_in, reason in audience]
    if rows:
        render.table(("contact", "email", "in, or why not"), rows[:SHOWN])
    if len(rows) > SHOWN:
        render.out(f"\n… and {len(rows) - SHOWN:,} more: select * from dry_run_job('{job}');")
