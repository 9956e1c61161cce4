"""Runs the command line and turns whatever comes out of it into an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click

from jobsdb import __version__
from jobsdb.errors import Exit, Interrupted, JobsdbError, scrub


def run(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code (see errors.Exit)."""
    gc.set_threshold(100_000)  # what an import makes stays: looking for garbage costs a sixth of it
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where the locale cannot write every name
    root: dict[str, Any] = {}
    try:
        answer = command.main(args=arguments, prog_name="jobsdb", standalone_mode=False, obj=root)
        return int(answer or 0)
    except click.ClickException as exc:
        exc.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return _fail(Interrupted(), root)
    except JobsdbError as exc:
        return _fail(exc, root)
    except Exception as exc:
        said = scrub(f"{type(exc).__name__}: {exc}")
        return _fail(
            JobsdbError(
                f"jobsdb {__version__} did not expect this",
                code=Exit.INTERNAL,
                detail=said,
                hint="Please report it, with the output of the same command and --debug.",
            ),
            root,
            exc,
        )


def _fail(trouble: JobsdbError, root: dict[str, Any], cause: BaseException | None = None) -> int:
    """Show what went wrong and return the exit code."""
    from jobsdb import render

    if root.get("debug"):
        import traceback

        shown = traceback.format_exception(trouble if cause is None else cause)
        sys.stderr.write(scrub("".join(shown)))
    render.error(trouble)
    return int(trouble.code)
