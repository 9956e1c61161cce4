"""Exit codes, and what went wrong as one sentence, a hint and an exit code.

Everything the command refuses or cannot do is a `JobsdbError`; `from_postgres` turns an error of
the server into one. Nothing ever repeats a password: `scrub` is applied to whatever is printed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg


class Exit(IntEnum):
    """What the command answers to the shell."""

    DONE = 0
    NO = 1
    USAGE = 2
    CONNECT = 3
    LOCK = 4
    SQL = 5
    REFUSED = 6
    INTERNAL = 70
    INTERRUPTED = 130


class JobsdbError(Exception):
    """One sentence for people, with the facts, the place, a remedy and an exit code."""

    def __init__(
        self,
        sentence: str,
        *,
        code: Exit,
        hint: str | None = None,
        detail: str | None = None,
        at: str | None = None,
        sqlstate: str | None = None,
        note: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code
        self.hint = hint
        self.detail = detail
        self.at = at
        self.sqlstate = sqlstate
        self.note = note


class UsageError(JobsdbError):
    """The command was called in a way that means nothing."""

    def __init__(self, sentence: str, *, hint: str | None = None) -> None:
        super().__init__(sentence, code=Exit.USAGE, hint=hint)


class ConnectError(JobsdbError):
    """No connection, or not permitted."""

    def __init__(
        self, sentence: str, *, hint: str | None = None, detail: str | None = None
    ) -> None:
        super().__init__(sentence, code=Exit.CONNECT, hint=hint, detail=detail)


class LockError(JobsdbError):
    """A lock was not obtained in time; nothing was changed and a repeat is safe."""

    def __init__(
        self,
        sentence: str,
        *,
        hint: str | None = None,
        detail: str | None = None,
        note: str | None = None,
    ) -> None:
        super().__init__(sentence, code=Exit.LOCK, hint=hint, detail=detail, note=note)


class Interrupted(JobsdbError):
    """Somebody pressed Ctrl-C; `note` says what became of the database."""

    def __init__(self, note: str | None = None) -> None:
        super().__init__("interrupted", code=Exit.INTERRUPTED, note=note)


class Refused(JobsdbError):
    """Refused before or instead of doing harm: edited file, newer database, foreign object."""

    def __init__(
        self,
        sentence: str,
        *,
        hint: str | None = None,
        detail: str | None = None,
        at: str | None = None,
    ) -> None:
        super().__init__(sentence, code=Exit.REFUSED, hint=hint, detail=detail, at=at)


RETRIABLE = frozenset({"55P03", "40P01", "40001"})
INSTALLATION = frozenset({"JB090", "JB091", "JB092"})
ALREADY_EXISTS = frozenset({"42P07", "42710", "42723", "42P06"})
CONNECTION_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})

_secrets: set[str] = set()


def remember_secret(secret: str | None, *, unless: tuple[str | None, ...] = ()) -> None:
    """Have `scrub` replace this text from now on; `unless` are names it may be equal to."""
    if secret and len(secret) > 3 and secret not in unless:
        _secrets.add(secret)


def scrub(text: str) -> str:
    """The text with every known password replaced by `***`."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def is_retriable(exc: psycopg.Error) -> bool:
    """Whether the same transaction may well succeed a moment later.

    Beside lock timeouts, deadlocks and serialisation failures these are two sessions changing the
    same catalog row (all databases of a server share the roles), which has no SQLSTATE of its own.
    """
    diag = exc.diag
    return (
        exc.sqlstate in RETRIABLE
        or (exc.sqlstate == "XX000" and (diag.source_function or "").startswith("simple_heap_"))
        or (exc.sqlstate == "23505" and diag.schema_name == "pg_catalog")
    )


def from_postgres(exc: psycopg.Error, *, at: str | None = None) -> JobsdbError:
    """An error of the server in our words. `at` is the file and line it happened at, when known."""
    diag = exc.diag
    state = exc.sqlstate
    said = diag.message_primary or first_line(str(exc))
    sentence, hint, code = _explain(state, said, diag.message_hint)
    detail = diag.message_detail
    if sentence != said:
        detail = said if detail is None else f"{said}; {detail}"
    return JobsdbError(sentence, code=code, hint=hint, detail=detail, at=at, sqlstate=state)


def _explain(state: str | None, said: str, hint: str | None) -> tuple[str, str | None, Exit]:
    """Sentence, hint and exit code of an SQLSTATE; `said` and `hint` are the server's own."""
    if state in INSTALLATION:
        return said, hint, Exit.REFUSED
    if state is None or state in CONNECTION_LOST or state.startswith("08"):
        return (
            "the connection to the server was lost",
            "Run the command again: whatever had not been committed is gone, and jobsdb reads"
            " from its ledger what was.",
            Exit.CONNECT,
        )
    if state.startswith("JB"):
        return said, hint, Exit.SQL
    if state == "42501":
        return (
            said,
            hint
            or "Connect as the owner of the database and of its tables (on Supabase: role"
            " postgres), or have the owner grant what is missing.",
            Exit.CONNECT,
        )
    if state in RETRIABLE:
        return (
            "a lock was not obtained in time",
            "Run the command again in a quieter moment, or give it more time with --wait.",
            Exit.LOCK,
        )
    if state in ALREADY_EXISTS:
        return (
            f"{said}, but jobsdb did not put it there",
            "Do not ignore this: something else already uses the name. Rename it or move it to"
            " another schema, then run `jobsdb migrate` again.",
            Exit.REFUSED,
        )
    if state == "2BP01":
        return (
            "an object that is not jobsdb's depends on one that has to be replaced",
            "Drop it or move its definition out of the way, run `jobsdb migrate` again, then"
            " create it anew; jobsdb never drops what is not its own.",
            Exit.REFUSED,
        )
    return _explain_sql(state, said, hint)


def _explain_sql(state: str, said: str, hint: str | None) -> tuple[str, str | None, Exit]:
    """The rest of `_explain`: errors that leave exit code 5."""
    if state == "53100":
        return (
            "the server's disk is full",
            "Free space on the server and run the command again; nothing was half done.",
            Exit.SQL,
        )
    if state in ("42883", "3F000") and ("auth.uid" in said or '"auth"' in said):
        return (
            "auth.uid() does not exist in this database",
            "Run `jobsdb migrate`: where nobody provides auth.uid() it creates one. Before"
            " restoring a dump: `jobsdb migrate --prerequisites`.",
            Exit.SQL,
        )
    if state == "55000" and "populated" in said:
        return (*metrics_are_stale(), Exit.SQL)
    if state == "42P01" and ("jobsdb." in said or "public.job" in said):
        return (said, hint or "Is jobsdb installed here? Run `jobsdb migrate`.", Exit.SQL)
    if state == "57014" and "timeout" in said:
        return (
            "a statement took longer than allowed",
            "Give it more time with --statement-timeout, or run in a quieter moment.",
            Exit.SQL,
        )
    return said, hint, Exit.SQL


def metrics_are_stale(age: str | None = None) -> tuple[str, str]:
    """Sentence and remedy for metrics that were never filled, or are older than they should be."""
    sentence = f"the metrics are stale: {f'{age} old' if age else 'they were never filled'}"
    return (
        sentence,
        "Run `select refresh_job_metrics();` as the owner or service role, and schedule it: select"
        " cron.schedule('refresh-job-metrics', '*/5 * * * *', 'select refresh_job_metrics();').",
    )


_CHECK_NAME = "Check the name, or create the database first (createdb NAME)."
_CHECK_HOST = "Check the host in the database address."
_CONNECT_TROUBLES = {
    "password authentication failed": (
        "the password is wrong, or the user does not exist",
        "Check the user and the password; a password is best kept in ~/.pgpass or PGPASSWORD.",
    ),
    "no password supplied": (
        "the server wants a password and none was given",
        "Put it in ~/.pgpass, PGPASSWORD or JOBSDB_DATABASE_URL.",
    ),
    "no pg_hba.conf entry": (
        "the server does not let this user in from here",
        "Ask the server's administrator for an entry in pg_hba.conf, or use another address.",
    ),
    "permission denied for database": (
        "this user may not connect to the database",
        "Have its owner run: grant connect on database ... to ...",
    ),
    "No such file or directory": (
        "the server cannot be reached",
        "Is it running, and do host (the folder of its socket) and port fit?",
    ),
    "does not exist": ("the database or the user does not exist", _CHECK_NAME),
    "too many": (
        "the server has no free connection",
        "Try again in a moment, or use the address of the connection pooler.",
    ),
    "starting up": ("the server is starting up", "Try again in a moment."),
    "SSL": (
        "no secure connection could be agreed on with the server",
        "Check sslmode and the certificates in the database address.",
    ),
    "translate host name": ("the name of the server is not known", _CHECK_HOST),
    "resolve host": ("the name of the server is not known", _CHECK_HOST),
}


def connect_failed(exc: psycopg.Error) -> ConnectError:
    """A connection that did not come about, in our words (libpq gives a text and no SQLSTATE)."""
    said = str(exc)
    detail = first_line(said)
    for part, (sentence, hint) in _CONNECT_TROUBLES.items():
        if part in said:
            return ConnectError(sentence, hint=hint, detail=detail)
    return ConnectError(
        "the server cannot be reached",
        hint="Is it running, and are host and port right? Test with: pg_isready -h HOST -p PORT",
        detail=detail,
    )


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")
