"""What the commands share: options, and the order in which help lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from jobsdb import __version__
from jobsdb.errors import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """A length of time such as 500ms, 60s, 5min; a bare number is seconds. Value: seconds."""

    name = "duration"

    def __init__(self, least: float = 0.0, most: float = math.inf) -> None:
        self.least, self.most = least, most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read `500ms` as 0.5."""
        if isinstance(value, (int, float)):
            return float(value)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)?", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a length of time such as 500ms, 60s or 5min", param, ctx)
        seconds = float(found[1]) * _UNITS[found[2] or "s"]
        if not self.least <= seconds <= self.most:
            self.fail(f"{value!r} is not between {self.least:g} and {self.most:g} seconds")
        return seconds


class InOrder(click.Group):
    """A group that lists its commands in the order in which they stand here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)


def _debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().ensure_object(dict)["debug"] = True


def not_blank(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A callback for options that mean nothing when empty."""
    if value is not None and not value.strip(", \t\r\n"):
        raise click.BadParameter("it is empty")
    return value


class Rule(NamedTuple):
    """An option that makes others mean nothing, and why."""

    option: str
    why: str
    others: tuple[str, ...]
    hint: str | None = None


def refuse_what_means_nothing(rules: Iterable[Rule]) -> None:
    """Hold the options given to the running command against rules. Errors: UsageError."""
    context = click.get_current_context()
    given = {
        parameter.opts[-1]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }
    for rule in rules:
        for other in rule.others:
            if {rule.option, other} <= given:
                raise UsageError(
                    f"{rule.option} {rule.why}, so {other} means nothing", hint=rule.hint
                )


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"jobsdb {__version__}")
        ctx.exit()


version_option = click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
    help="Show the version and exit.",
)  # fmt: skip
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_debug, is_eager=True,
    help="Show a traceback when something fails.",
)  # fmt: skip
database_option = click.option(
    "-d", "--database", metavar="URL",
    help="The database. Without it: JOBSDB_DATABASE_URL, DATABASE_URL, PGHOST and the like,"
    " else the embedded PostgreSQL.",
)  # fmt: skip
sample_database_option = click.option(
    "-d", "--database", metavar="URL", help="The database; DATABASE_URL is never followed."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def patience_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --wait, --lock-timeout and --statement-timeout."""
    for option in (
        click.option(
            "--statement-timeout", type=Duration(), default="5min", show_default=True,
            help="How long one statement may take.",
        ),
        click.option(
            "--lock-timeout", type=Duration(), default="500ms", show_default=True,
            help="How long one attempt waits for a lock, and others wait behind it.",
        ),
        click.option(
            "--wait", type=Duration(), default="60s", show_default=True,
            help="How long to try again when locks are taken.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command
